"""The grammar of networks as functions, and of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import naive_lazy
import naive_networks
import numpy as np

import fastlazy
from fuzz import functions, grammar_mixture, oracles, oracles_mixture, values
from fuzz.grammar import Entry, call, maybe, rows, rows_alone, second_layer, shape, target
from fuzz.judge import Call
from fuzz.values import Draw, Made, Value


def _form(S: Any, c: float, got: Any, tolerance: float = 1e-10) -> str | None:
    """Whether a function is <x, S x> + c."""
    wrong = oracles.differs(got.B, S, tolerance, float(np.abs(S).max()) + 1e-300)
    return wrong or oracles.differs(got.b0, c, tolerance, abs(c) + float(np.abs(S).sum()) + 1e-300)


def network_function(draw: Draw) -> Call:
    N, d = shape(draw)
    arguments = {"W": rows_alone(draw, N, d)}
    maybe(draw, arguments, "a", lambda: second_layer(draw, N))
    maybe(draw, arguments, "c", lambda: values.real(draw, [0.0, -1.0]))

    def check(plain: Any, got: Any) -> str | None:
        layer = np.broadcast_to(plain.get("a", 1.0), N)
        wrong = oracles.differs(got.B, naive_lazy.form(plain["W"], layer), 1e-12, _size(plain["W"], layer))
        return wrong or oracles.differs(got.b0, plain.get("c", 0.0), 0.0)

    return call("network_function", arguments, check)


def feature_function(draw: Draw) -> Call:
    """A network of another sigma than x^2, called on samples."""
    N, d = shape(draw)
    arguments = {"W": rows(draw, N, d), "a": second_layer(draw, N), "c": values.real(draw, [0.0, -1.0], none=False)}
    arguments["X"] = rows(draw, draw.size(1, 5), d)
    name = draw.pick([*naive_networks.SIGMAS])

    def function(W: Any, a: Any, c: Any, X: Any) -> Any:
        return fastlazy.network_function(W, a, c, name)(X)

    def check(got: Any) -> str | None:
        W, a, c, X = (arguments[key].plain for key in ("W", "a", "c", "X"))
        want = naive_networks.network(name, W, np.broadcast_to(a, N), X) + c
        size = np.abs(a).sum() * (1 + np.abs(W).max() * np.abs(X).max() * d) + abs(c)
        return oracles.differs(got, want, 1e-11, size)

    good = all(argument.kind == "good" for argument in arguments.values())
    return Call("FeatureFunction", function, arguments, check if good else None, names=("W", "a", "c", "X"))


def _size(W: Any, a: Any) -> float:
    largest = np.abs(W).max()
    return float(np.sum(np.abs(a) * largest * largest))  # in this order zero times infinity is not met


def linearize(draw: Draw) -> Call:
    """The constructor, or one of the methods, which share their arguments."""
    N, d = shape(draw)
    start = {"W": rows(draw, N, d), "a": second_layer(draw, N), "c": values.real(draw, [0.0, 1.0])}
    method = draw.pick(["start", "rf", "nt", "both"])
    moved = {"W": rows(draw, N, d), "a": second_layer(draw, N), "c": values.real(draw, [0.5])}
    used = {"start": (), "rf": ("a", "c"), "nt": ("W",), "both": ("W", "a", "c")}[method]
    arguments = {**{f"{key}0": value for key, value in start.items()}, **{key: moved[key] for key in used}}

    def function(W0: Any, a0: Any, c0: Any, **parameters: Any) -> Any:
        model = fastlazy.linearize(W0, a0, c0)
        return getattr(model, method)(**parameters) if used else model.start

    def check(got: Any) -> str | None:
        W0, a0, c0 = (np.asarray(arguments[f"{key}0"].plain, np.longdouble) for key in ("W", "a", "c"))
        W, a, c = (moved[key].plain if key in used else start[key].plain for key in ("W", "a", "c"))
        second, change = np.broadcast_to(a0, N), np.broadcast_to(a - a0, N)
        terms = [s * (np.outer(w - v, v) + np.outer(v, w - v)) for s, w, v in zip(second, W, W0, strict=True) if s != 0]
        tangent = sum(terms, np.zeros((d, d)))
        base, features = (
            naive_lazy.form(np.where(layer[:, None] != 0, W0, 0), layer) for layer in (second, change)
        )  # a neuron of weight 0 counts for nothing, however large its rows are
        want = {
            "start": (base, c0),
            "rf": (features, c - c0),
            "nt": (tangent, 0.0),
            "both": (base + features + tangent, c),
        }
        size = sum(_size(np.concatenate([W0, W]), np.broadcast_to(layer, N)) for layer in (a0, a)) + 1e-300
        wrong = oracles.differs(got.B, want[method][0], 1e-11, 4 * size)
        return wrong or oracles.differs(got.b0, want[method][1], 1e-12, 1e-300 + abs(c0) + abs(c))

    good = all(argument.kind != "bad" for argument in [*arguments.values(), *moved.values()])
    other = arguments["W0"].value
    if "W" not in used and isinstance(other, np.ndarray) and other.shape == (N, d + 1):  # nothing else says d
        arguments["W0"] = arguments["W0"]._replace(kind="odd")
    return Call("linearize", function, arguments, check if good else None, names=("W", "a", "c"))


def linearization(draw: Draw) -> Call:
    return linearize(draw)._replace(name="Linearization")


def population_distance(draw: Draw) -> Call:
    d = draw.size(1, 5)
    arguments = {"f": target(draw, d), "g": target(draw, d if draw.chance(0.9) else d + 1)}
    same = all(v.kind != "bad" for v in arguments.values()) and len(arguments["f"].plain[0]) == len(
        arguments["g"].plain[0]
    )
    if not same and arguments["g"].kind != "bad":
        arguments["g"] = arguments["g"]._replace(kind="bad")

    def check(plain: Any, got: Any) -> str | None:
        (S, c), (T, e) = plain["f"], plain["g"]
        size = oracles.form_distance(np.abs(S) + np.abs(T), abs(c) + abs(e), 0 * S, 0.0)
        return oracles.differs(got, oracles.form_distance(S, c, T, e), 1e-12, size)

    return call("population_distance", arguments, check)


def captured_share(draw: Draw) -> Call:
    d = draw.size(1, 5)
    arguments = {"target": target(draw, d), "f": target(draw, d if draw.chance(0.9) else d + 1)}
    if arguments["f"].kind != "bad" and arguments["f"].value.d != d:
        arguments["f"] = arguments["f"]._replace(kind="bad")
    return call("captured_share", arguments, lambda p, got: oracles.captured(p["target"][0], p["f"][0], got))


def _captured_limit(name: str) -> Entry:
    def entry(draw: Draw) -> Call:
        d = draw.size(1, 6)
        arguments = {"target": target(draw, d), "N": values.count(draw, draw.size(1, 9), odd=[10**15])}
        if name.startswith("nt"):
            maybe(draw, arguments, "refined", lambda: values.flag(draw))
        maybe(draw, arguments, "activation", lambda: values.option(draw, ["square", "relu", "cos"]))

        def check(plain: Any, got: Any) -> str | None:
            all_of_it = plain["N"] >= (d if name.startswith("nt") else d * (d + 1) / 2)
            if plain.get("activation", "square") != "square":
                return None
            there = arguments["target"].value.eigenvalues != 0
            return oracles.differs(got[there], np.ones(there.sum()), 1e-10) if all_of_it else None

        return call(name, arguments, check)

    return entry


def _best(name: str) -> Entry:
    def entry(draw: Draw) -> Call:
        N, d = shape(draw)
        arguments = {"target": target(draw, d), "W": rows(draw, N, d)}

        def check(plain: Any, got: Any) -> str | None:
            (B, b0), square = plain["target"], functions.BUILTIN["square"]
            null = 2 * float(np.sum(B**2))
            if abs(np.trace(got.B) + got.b0 - np.trace(B) - b0) > 1e-9 * (np.abs(B).sum() + abs(b0)) + 1e-300:
                return "has another mean"
            risk = 2 * float(np.sum((got.B - B) ** 2))
            oracle = oracles.rf_risk if name == "rf_function" else oracles.nt_risk
            wrong = oracle(B, plain["W"], square, 0.0, min(risk, null * (1 + 1e-12)))
            return wrong and f"has a risk that {wrong}"

        return call(name, arguments, check)

    return entry


def lazy_risk(draw: Draw) -> Call:
    N, d = shape(draw)
    arguments = {"target": target(draw, d), "W": rows(draw, N, d)}
    maybe(draw, arguments, "a", lambda: second_layer(draw, N))
    arguments["scale"] = values.real(draw, [0.0, 0.1, 1.0, 10.0, 1e4, 1e8], low=0.0, odd=[1e12, 1e16, 1e20, 1e100])

    def check(plain: Any, got: Any) -> str | None:
        return oracles.lazy_risk(plain["target"][0], plain["W"], plain.get("a", 1.0), plain["scale"], got)

    return call("lazy_risk", arguments, check)


# Training


def fit_nn(draw: Draw) -> Call:
    N, d = shape(draw)
    kind = draw.pick(["ones", "signs", "scalar", "free"])
    learned = grammar_mixture.trained(draw, d, 0.2)
    classes = isinstance(learned.plain, oracles_mixture.Pair)
    if classes:  # Delta has both signs
        warned = kind in ("ones", "scalar")
    else:
        warned = learned.kind == "good" and kind == "ones" and not np.any(learned.value.eigenvalues > 0)
    if learned.kind == "good" and warned:
        learned = learned._replace(kind="odd")
    arguments = {"target": learned, "N": values.count(draw, N)}
    arguments["n_samples"] = values.count(draw, draw.pick([1, 30, 500, 3000]), odd=[1, 7])
    arguments["second_layer"] = draw.one_of([kind], (), ["nothing", None, 1, b"ones", *values.strange()])
    arguments["rng"] = values.seed(draw)
    steps = ["auto", 1e-4, 1e-3, Made(lambda: lambda u: 1e-3), Made(lambda: lambda u: (1e-3, 1e-3, 1e-2))]
    odd_steps = [
        0,
        0.0,
        1,
        10.0,
        1e160,
        1e-300,
        Made(lambda: lambda u: 0.0),
        Made(lambda: lambda u: 1e300),
        np.float32(0.01),
    ]
    bad_steps = ["Auto", -1.0, np.nan, np.inf, Made(lambda: lambda u: "a"), Made(lambda: lambda u: (1, 2))]
    bad_steps += [
        Made(lambda: lambda u: np.nan),
        Made(lambda: lambda u: -1.0),
        Made(lambda: lambda: 1.0),
        *values.strange(),
    ]
    options = {
        "batch_size": lambda: values.count(draw, draw.pick([1, 7, 100]), odd=[10**9]),
        "step_size": lambda: draw.one_of(
            steps, odd_steps, [v for v in bad_steps if not callable(v) or isinstance(v, Made)]
        ),
        "W0": lambda: rows(draw, N, d, none=False),
        "c0": lambda: values.real(draw, [0.0, -1.0], none=False),
        "dtype": lambda: draw.one_of(["float32", np.float64], [">f8", float, "f4"], ["float16", int, "a", np.int32]),
        "n_records": lambda: values.count(draw, draw.pick([1, 2, 10]), odd=[10**9]),
        "callback": lambda: draw.one_of(
            [None, lambda fit: False, lambda fit: True], [lambda fit: np.array(False)], ["a", 3]
        ),
        "reduce": lambda: values.flag(draw),
        "n_threads": lambda: values.count(draw, 1, odd=[2, 10**9], none=False),
        "scale": lambda: values.real(draw, [0.1, 1.0, 100.0], low=1e-300, none=False),
        "init": lambda: draw.one_of(["orthogonal"], ["symmetric"], ["nothing", None, 1]),
        "diagnostics": lambda: values.flag(draw),
        "progress": lambda: values.flag(draw),
        "checkpoint": lambda: _checkpoint(draw),
        "a0": lambda: second_layer(draw, N)._replace(kind="odd"),
    }
    for name, make in options.items():
        if draw.chance(0.2):
            arguments[name] = make()
            if classes and name in ("scale", "diagnostics"):  # which may be refused
                arguments[name] = arguments[name]._replace(kind="odd")
    if "checkpoint" in arguments and arguments["rng"].value is None and arguments["checkpoint"].kind == "good":
        arguments["checkpoint"] = arguments["checkpoint"]._replace(kind="odd")

    def check(plain: Any, fit: Any) -> str | None:
        if fit.status not in ("finished", "stopped", "diverged"):
            return f"has the status {fit.status!r}"
        if len(fit.samples) != len(fit.risk) or np.any(np.diff(fit.samples) <= 0) or fit.W.shape != (plain["N"], d):
            return "has records or weights of another shape"
        if fit.status == "finished" and fit.samples[-1] != plain["n_samples"]:
            return f"is finished after {fit.samples[-1]} samples"
        W, W0 = fit.W.astype(float), fit.W0.astype(float)
        S = naive_lazy.form(W, np.broadcast_to(fit.a, len(W)))
        if fit.scale is not None:
            S = fit.scale * (S - naive_lazy.form(W0, np.broadcast_to(fit.a0, len(W))))
        tolerance = 1e-9 if fit.W.dtype == np.float64 else 1e-4
        if isinstance(plain["target"], oracles_mixture.Pair):
            return oracles_mixture.form_risk(plain["target"], S, fit.c, fit.risk[-1], tolerance)
        B, b0 = plain["target"]
        size = oracles.form_distance(np.abs(S) + np.abs(B), abs(fit.c) + abs(b0), 0 * B, 0.0)
        if fit.scale is not None:
            size *= 1 + 1e3 * max(1.0, fit.scale)
        return oracles.differs(fit.risk[-1], oracles.form_distance(S, fit.c, B, b0), tolerance, size)

    return call("fit_nn", arguments, check, names=("W", "a"), allowed=(OSError, FileNotFoundError))


def nn_flow(draw: Draw) -> Call:
    N, d = shape(draw)
    kind = draw.pick(["ones", "signs", "scalar", "free"])
    arguments = {"target": grammar_mixture.trained(draw, d, 0.2), "N": values.count(draw, N)}
    name = draw.pick(["square", "square", "relu", "tanh"])
    arguments["activation"] = draw.one_of([name], ["step"], ["nothing", None, 1, *values.strange()])
    arguments["second_layer"] = draw.one_of([kind], (), ["nothing", None, 1, b"ones", *values.strange()])
    arguments["rng"] = values.seed(draw)
    arguments["max_steps"] = values.count(draw, draw.pick([1, 5]), odd=[7])
    if arguments["target"].kind == "good" and (name != "square" or kind in ("ones", "scalar")):
        arguments["target"] = arguments["target"]._replace(kind="odd")  # of a size that no such network may have
    options = {
        "time": lambda: values.real(draw, [0.0, 1e-3, 1.0], low=0.0, none=False),
        "tolerance": lambda: values.real(draw, [0.0, 1e-8, 1.0], low=0.0, none=False),
        "W0": lambda: rows(draw, N, d, none=False)._replace(kind="odd"),
        "c0": lambda: values.real(draw, [0.0, -1.0], none=False),
        "n_records": lambda: values.count(draw, draw.pick([1, 2, 10])),
        "callback": lambda: draw.one_of([None, lambda fit: True], [lambda fit: np.array(False)], ["a", 3]),
        "scale": lambda: values.real(draw, [0.1, 1.0, 100.0], low=1e-300, none=False)._replace(kind="odd"),
        "init": lambda: draw.one_of(["orthogonal"], ["symmetric"], ["nothing", None, 1]),
        "parallel": lambda: values.flag(draw),
        "max_gradients": lambda: values.count(draw, draw.pick([1, 3, 20]), odd=[7]),
    }
    for option, make in options.items():
        if draw.chance(0.2):
            arguments[option] = make()

    def check(plain: Any, fit: Any) -> str | None:
        if fit.status not in ("finished", "stopped", "unconverged", "diverged"):
            return f"has the status {fit.status!r}"
        if len(fit.times) != len(fit.risk) or np.any(np.diff(fit.times) <= 0) or fit.W.shape != (plain["N"], d):
            return "has records or weights of another shape"
        return None if np.isfinite(fit.risk).all() else "has a risk that is no number"

    return call("nn_flow", arguments, check, names=("W", "a"))


def _checkpoint(draw: Draw) -> Value:
    """A path for a checkpoint, where there may be something already."""
    folder = Path(draw.folder)
    (folder / "folder.npz").mkdir()
    (folder / "text.npz").write_text("nothing")
    (folder / "empty.npz").touch()
    np.save(folder / "array.npy", np.ones(3))
    (folder / "array.npy").rename(folder / "plain.npz")
    np.savez(folder / "mine.npz", x=np.ones(3))
    odd = [folder / name for name in ("text.npz", "empty.npz", "plain.npz", "mine.npz", "folder.npz", "new", "")]
    odd += ["abc", ""]  # texts are paths, here within the folder, in which a call is made
    strange = [value for value in values.strange(none=False) if not isinstance(value, str)]
    bad = [folder / "no" / "such" / "folder.npz", b"\0", 3, ["a"], *strange]
    return draw.one_of([folder / "run.npz", str(folder / "run.npz")], odd, bad)


def fit(draw: Draw) -> Call:
    return fit_nn(draw)._replace(name="Fit")


def diagnostics(draw: Draw) -> Call:
    made = fit_nn(draw)
    # Of a mixture they are refused, as of inputs with a covariance.
    refused = made.arguments["target"].kind != "bad" and type(made.arguments["target"].plain) is not tuple
    made.arguments["diagnostics"] = Value(True, "odd" if refused else "good")
    return made._replace(name="Diagnostics")


ENTRIES: dict[str, Entry] = {
    "network_function": network_function,
    "FeatureFunction": feature_function,
    "linearize": linearize,
    "Linearization": linearization,
    "population_distance": population_distance,
    "captured_share": captured_share,
    "rf_captured_limit": _captured_limit("rf_captured_limit"),
    "nt_captured_limit": _captured_limit("nt_captured_limit"),
    "rf_function": _best("rf_function"),
    "nt_function": _best("nt_function"),
    "lazy_risk": lazy_risk,
    "fit_nn": fit_nn,
    "nn_flow": nn_flow,
    "Fit": fit,
    "Diagnostics": diagnostics,
}
