"""The grammar: for each public name a function that draws a call of it, with its check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastlazy
from fastlazy import QuadraticFunction, QuadraticTarget
from fuzz import functions, oracles, values
from fuzz.judge import Call, short
from fuzz.values import Draw, Value

Entry = Callable[[Draw], Call]


def target(draw: Draw, d: int, *, none: bool = True) -> Value:
    """A target; plain is (B, b0)."""
    kind = draw.kind()
    if kind == "bad":
        bad = [np.eye(d), [1.0, 2.0], QuadraticTarget, "exponential", ([1.0], 0.0), *values.strange(none)]
        return draw.good_only().one_of(bad)._replace(kind="bad")
    found = _target_of(draw, d, kind == "odd")
    return Value(found, kind, (found.B, found.b0))


def _target_of(draw: Draw, d: int, odd: bool) -> QuadraticFunction:
    rng = draw.rng
    eigenvalues = rng.exponential(size=d) * draw.pick([1.0, rng.choice([-1.0, 1.0], d)])
    if odd:
        style = draw.pick(["zero", "rank one", "equal", "size", "spread", "offset", "traceless"])
        if style == "zero":
            eigenvalues *= 0
        elif style == "rank one":
            eigenvalues[1:] = 0
        elif style == "equal":
            eigenvalues[:] = draw.pick([1.0, -2.0])
        elif style == "size":
            eigenvalues *= draw.pick([1e-150, 1e-100, 1e-30, 1e-8, 1e8, 1e30, 1e100, 1e148])
        elif style == "spread":
            eigenvalues *= 10.0 ** rng.uniform(-12, 3, d)
        elif style == "traceless":
            eigenvalues -= eigenvalues.mean()
        offset = draw.pick([1e160, -1e308, 1e10, 1e-300]) if style == "offset" else 0.0
    else:
        offset = draw.pick([0.0, -float(eigenvalues.sum()), 1.5])
    if draw.chance(0.4):
        return draw.pick([QuadraticTarget, QuadraticFunction])(eigenvalues, offset)
    Q, _ = np.linalg.qr(rng.standard_normal((d, d)))
    B = (Q * eigenvalues) @ Q.T
    return QuadraticTarget(B / 2 + B.T / 2, offset)


def rows(draw: Draw, N: int, d: int, *, none: bool = True) -> Value:
    """Weights or samples (N, d)."""
    wrong = [draw.rng.standard_normal(shape) for shape in ((N, d + 1), (N, d, 1), (d,), ()) if shape != (N, d)]
    return values.array(draw, (N, d), none=none, bad=wrong)


def rows_alone(draw: Draw, N: int, d: int) -> Value:
    """Weights of a call in which nothing else says d: one column more is as good."""
    W = rows(draw, N, d)
    wider = isinstance(W.value, np.ndarray) and W.value.shape == (N, d + 1)
    return W._replace(kind="odd", plain=W.value) if wider else W


def shape(draw: Draw) -> tuple[int, int]:
    return draw.size(1, 5), draw.pick([1, 2, 2, 3, 3, 4, 5, 6])


def call(name: str, arguments: dict[str, Value], check: Any = None, **options: Any) -> Call:
    """A call of a function of the package; *check* gets the plain arguments and the result, if all are plain."""
    function = getattr(fastlazy, name)
    plain = {key: argument.plain for key, argument in arguments.items()}
    known = check is not None and all(argument.kind != "bad" for argument in arguments.values())
    return Call(name, function, arguments, (lambda result: check(plain, result)) if known else None, **options)


def maybe(draw: Draw, arguments: dict[str, Value], name: str, make: Callable[[], Value]) -> None:
    """Add an optional argument to *arguments*, in place, in half of all calls."""
    if draw.chance(0.5):
        arguments[name] = make()


def second_layer(draw: Draw, N: int) -> Value:
    if draw.chance(0.3):
        return values.real(draw, [1.0, -1.0, 0.5])
    bad = [np.ones(N + 1), np.ones((N, 1)), np.ones((1, N))]
    return values.array(draw, (N,), bad=bad)


# Targets and weights


def quadratic_function(draw: Draw, kind: type[QuadraticFunction] = QuadraticFunction) -> Call:
    d = draw.size(1, 6)
    odd = draw.chance(draw.spoil)
    A = values.numbers(draw, (d, d), odd)
    base = A / 2 + A.T / 2 if draw.chance(0.6) else A[0]
    B = values.array(draw, base.shape, base=base, bad=[np.triu(np.ones((3, 3))), np.ones((2, 3)), np.ones((2, 2, 2))])
    arguments = {"B": B._replace(kind="odd") if odd and B.kind == "good" else B}
    maybe(draw, arguments, "b0", lambda: values.real(draw, [0.0, -1.5]))
    if issubclass(kind, QuadraticTarget) and draw.chance(0.3):
        arguments["input_cov"] = covariance(draw, d)
    X = rows(draw, 3, d)
    arguments["X"] = X
    n, rng, dtype = values.count(draw, 4), values.seed(draw), values.option(draw, ["float32", "float64"])
    sampled = issubclass(kind, QuadraticTarget) and draw.chance(0.5)
    if sampled:
        arguments |= {"n": n, "rng": rng, "dtype": dtype}

    def function(X: Any, n: Any = 4, rng: Any = 0, dtype: Any = "float64", **parameters: Any) -> Any:
        made: Any = kind(**parameters)
        found = made, made.null_risk, made.mean, made.eigenvalues, made(X)
        return (*found, *made.sample(n, rng=rng, dtype=dtype)) if sampled else found

    def check(result: Any) -> str | None:
        plain = np.diag(B.plain) if B.plain.ndim == 1 else B.plain
        b0 = arguments["b0"].plain if "b0" in arguments else 0.0
        size = max(float(np.abs(plain).max()), 1e-300)
        wrong = None
        if "input_cov" not in arguments:
            wrong = oracles.differs(result[1] / size, 2 * np.sum((plain / size) ** 2) * size, 1e-12)
            wrong = wrong or oracles.differs(result[2], np.trace(plain) + b0, 1e-12, abs(b0) + size * len(plain))
        elif all(argument.kind == "good" for argument in arguments.values()):
            cov = arguments["input_cov"].plain
            product = plain @ (np.diag(cov) if cov.ndim == 1 else cov)
            spread = float(np.sum(np.abs(product) ** 2))
            wrong = oracles.differs(result[1], 2 * np.trace(product @ product), 1e-9, spread)
            wrong = wrong or oracles.differs(result[2], np.trace(product) + b0, 1e-9, abs(b0) + spread**0.5 * d)
        wide = X.plain.astype(np.longdouble)
        want = [x @ plain @ x + b0 for x in wide]
        sizes = [np.abs(x) @ np.abs(plain) @ np.abs(x) + abs(b0) for x in wide]
        return wrong or oracles.differs(result[4], want, 1e-12, np.array(sizes))

    bad = any(argument.kind == "bad" for argument in arguments.values())
    return Call(kind.__name__, function, arguments, None if bad else check)


def quadratic_target(draw: Draw) -> Call:
    return quadratic_function(draw, QuadraticTarget)


def exponential_target(draw: Draw) -> Call:
    arguments = {"d": values.count(draw, draw.size(1, 9)), "rng": values.seed(draw)}

    def check(plain: Any, result: Any) -> str | None:
        fine = result.d == plain["d"] and (result.eigenvalues > 0).all() and abs(result.mean) < 1e-9
        return None if fine else f"is {result!r}"

    return call("exponential_target", arguments, check)


def fixed_target(name: str, eigenvalue: Callable[[int], float]) -> Entry:
    """The entry of a target with the eigenvalues that *eigenvalue* gives, k = 1, ..., d."""

    def entry(draw: Draw) -> Call:
        arguments = {"d": values.count(draw, draw.size(1, 9))}

        def check(plain: Any, result: Any) -> str | None:
            want = [eigenvalue(k) for k in range(1, plain["d"] + 1)]
            return oracles.differs(result.eigenvalues, want, 1e-12) or oracles.differs(result.mean, 0.0, 1e-9, 1.0)

        return call(name, arguments, check)

    return entry


def power_law_target(draw: Draw) -> Call:
    arguments = {"d": values.count(draw, draw.size(1, 9))}
    maybe(draw, arguments, "exponent", lambda: values.real(draw, [1.0, 0.0, 2.5, -1.0]))

    def check(plain: Any, result: Any) -> str | None:
        powers = [k ** -float(plain.get("exponent", 1.0)) for k in range(1, plain["d"] + 1)]
        return oracles.differs(result.eigenvalues, sorted(powers, reverse=True), 1e-12)

    tame = all(argument.kind == "good" for argument in arguments.values())
    return call("power_law_target", arguments, check if tame else None)


def spiked_target(draw: Draw) -> Call:
    d = draw.size(1, 9)
    arguments = {"d": values.count(draw, d)}
    maybe(draw, arguments, "n_spikes", lambda: values.count(draw, draw.size(0, d), minimum=0))
    maybe(draw, arguments, "spike", lambda: values.real(draw, [10.0, 0.5, -2.0]))

    def check(plain: Any, result: Any) -> str | None:
        spikes, spike = plain.get("n_spikes", 1), plain.get("spike", 10.0)
        want = [spike if k < spikes else 1.0 for k in range(plain["d"])]
        return oracles.differs(result.eigenvalues, sorted(want, reverse=True), 1e-12)

    tame = all(argument.kind == "good" for argument in arguments.values())
    return call("spiked_target", arguments, check if tame else None)


def covariance(draw: Draw, d: int) -> Value:
    if draw.chance(0.5):
        base = np.abs(values.numbers(draw, (d,), draw.chance(draw.spoil))) + 1e-300
    else:
        A = values.numbers(draw, (d, d), draw.chance(draw.spoil))
        with np.errstate(all="ignore"):
            base = A @ A.T
    bad = [-np.eye(d), np.zeros((d, d)), np.eye(d + 1), np.zeros(d), np.ones((d, d + 1))]
    found = values.array(draw, base.shape, base=base, none=False, bad=bad)
    if found.kind != "good":
        return found
    plain = np.diag(found.plain) if found.plain.ndim == 1 else found.plain
    smallest, *_, largest = np.linalg.eigvalsh(plain)[[0, -1]]
    return found if largest < 1e8 and smallest > 1e-8 * largest > 0 else found._replace(kind="odd")


def draw_weights(draw: Draw) -> Call:
    N, d = shape(draw)
    arguments = {"N": values.count(draw, N, odd=[10**15, 2**62]), "d": values.count(draw, d), "rng": values.seed(draw)}
    maybe(draw, arguments, "cov", lambda: covariance(draw, d))

    def check(plain: Any, result: Any) -> str | None:
        cov = plain.get("cov")
        variance = 1 / d if cov is None else float(np.max(cov if cov.ndim == 1 else np.linalg.eigvalsh(cov)))
        fine = result.shape == (N, d) and np.abs(result).max() <= 10 * np.sqrt(d * variance)
        return None if fine else f"is {short(result)} with entries up to {np.abs(result).max():.3g}"

    return call("draw_weights", arguments, check, allowed=(MemoryError,) if arguments["N"].kind != "good" else ())


def gap_target(draw: Draw) -> Call:
    d = draw.size(2, 12)
    arguments = {"d": values.count(draw, d, minimum=2), "N": values.count(draw, draw.size(1, d - 1))}
    arguments["ratio"] = values.real(draw, [1.0, 10.0, 1e6, 1e100], low=1.0)

    def check(plain: Any, result: Any) -> str | None:
        values = result.eigenvalues
        fine = result.d == d and values[0] == 1 and (values[1:] > 0).all()
        return None if fine else f"has eigenvalues {values}"

    return call("gap_target", arguments, check)


# Gram matrices and kernels


def rf_gram(draw: Draw) -> Call:
    N, d = shape(draw)
    W = rows_alone(draw, N, d)
    sigma, twin = functions.activation(draw)
    arguments = {"W": W, "activation": sigma}
    maybe(draw, arguments, "center", lambda: values.flag(draw))
    maybe(draw, arguments, "parallel", lambda: values.flag(draw))
    out(draw, arguments, W, (N, N))
    return call("rf_gram", arguments, lambda p, got: oracles.rf_gram(p["W"], twin, bool(p.get("center")), got))


def out(draw: Draw, arguments: dict[str, Value], like: Value, size: tuple[int, int]) -> None:
    """Add an array to write to, in place, to some calls."""
    if not draw.chance(0.2) or not isinstance(like.value, np.ndarray):
        return
    dtype = like.value.dtype if like.value.dtype == np.float32 else np.float64
    bad = [
        np.empty(size, np.int64),
        np.empty((size[0] + 1, 3)),
        np.empty(size).tolist(),
        np.empty(size)[..., None],
        "a",
    ]
    arguments["out"] = draw.one_of([np.empty(size, dtype)], [np.empty((2, *size), dtype)[1], None], bad)


def rf_kernel(draw: Draw, name: str = "rf_kernel") -> Call:
    N, d = shape(draw)
    n, tangent = draw.size(1, 6), name == "nt_kernel"
    sigma, twin = functions.activation(draw, tangent=tangent, pointwise=True)
    arguments = {"X": rows(draw, n, d), "W": rows(draw, N, d), "activation": sigma}
    if draw.chance(0.3):
        arguments["Y"] = rows(draw, n + 1, d, none=False)
    maybe(draw, arguments, "parallel", lambda: values.flag(draw))
    if all(_dtype(arguments[key]) == _dtype(arguments["X"]) for key in arguments if key in "XWY"):
        out(draw, arguments, arguments["X"], (n, n + 1 if "Y" in arguments else n))

    def check(plain: Any, got: Any) -> str | None:
        return oracles.kernel(plain["X"], plain["W"], twin, plain.get("Y"), got, tangent)

    return call(name, arguments, check)


def _dtype(argument: Value) -> Any:
    return getattr(argument.value, "dtype", None)


def nt_kernel(draw: Draw) -> Call:
    return rf_kernel(draw, "nt_kernel")


def rf_normal_equations(draw: Draw) -> Call:
    N, d = shape(draw)
    n = draw.size(1, 9)
    sigma, twin = functions.activation(draw)
    X, y = (
        rows(draw, n, d),
        values.array(draw, draw.pick([(n,), (n, 2)]), none=False, bad=[np.ones(n + 1), np.ones((n, 1, 1))]),
    )
    arguments = {"X": X, "y": y, "W": rows(draw, N, d), "activation": sigma}

    def check(plain: Any, got: Any) -> str | None:
        return oracles.normal_equations(X.plain, y.plain, plain["W"], twin, got)

    if draw.chance(0.3) and X.plain is not None and y.plain is not None:
        cut = draw.size(0, n)
        parts = [(X.value, y.value), [(X.plain[:cut], y.plain[:cut]), (X.plain[cut:], y.plain[cut:])]][draw.size(0, 1)]
        blocks = parts if isinstance(parts, list) else [parts]
        some = [part for part in blocks if len(part[0])]
        odd = [iter(some), tuple(some), (part for part in blocks), blocks, [list(part) for part in some]]
        arguments["X"] = draw.one_of(
            [iter(some), some], odd, [[], iter([]), [1], [(1, 2, 3)], [X.value], "ab", 5, None]
        )
        if arguments["X"].kind == "good" and {X.kind, y.kind} != {"good"}:
            arguments["X"] = arguments["X"]._replace(kind="odd")  # blocks are no better than what is in them
        arguments["y"] = Value(None)
    maybe(draw, arguments, "parallel", lambda: values.flag(draw))
    return call("rf_normal_equations", arguments, check)


def excuse_jumps(arguments: dict[str, Value], twin: functions.Twin | None) -> None:
    """Let an activation that jumps, in place, be as good as another for tangent features of rows that see no jump."""
    W = arguments["W"].plain
    if twin is None or not twin.jumps or W is None or "activation" not in arguments:
        return
    longest, nearest = oracles.lengths(W).max(), min(map(abs, twin.kinks), default=0.0)
    if longest == 0 or 12 * longest < nearest:
        arguments["activation"] = arguments["activation"]._replace(kind="odd")


def nt_gram(draw: Draw) -> Call:
    N, d = draw.size(1, 3), draw.size(1, 4)
    sigma, twin = functions.activation(draw, tangent=True)
    arguments = {"W": rows_alone(draw, N, d), "activation": sigma}
    excuse_jumps(arguments, twin)
    maybe(draw, arguments, "center", lambda: values.flag(draw))
    maybe(draw, arguments, "parallel", lambda: values.flag(draw))

    W = arguments["W"]

    def function(W: Any, activation: Any, **options: Any) -> Any:
        operator_ = fastlazy.nt_gram(W, activation, **options)
        return operator_ @ np.eye(operator_.shape[0], dtype=operator_.dtype)

    def check(got: Any) -> str | None:
        eps = np.finfo(got.dtype).eps
        root = np.sqrt(np.abs(got.diagonal().astype(float))) + 1e-300
        wrong = oracles.differs(
            got, got.T, 1e3 * eps + 10 * eps / oracles.smallest_angle(W.plain), np.outer(root, root)
        )
        if root.max() > 1e140 or root.min() < 1e-140:
            return wrong
        if not wrong and np.linalg.eigvalsh(got / np.outer(root, root)).min() < -1e4 * eps:
            wrong = "has negative eigenvalues"
        found = None if wrong or twin is None else oracles.tangent_moments(twin, W.plain, np.eye(W.plain.shape[1]))
        if found is None:
            return wrong
        mean, K, _ = found
        center = "center" in arguments and bool(arguments["center"].plain)
        want = K if center else K + np.outer(mean, mean)
        return oracles.differs(got, want, 1e-8 if eps < 1e-10 else 1e-4, np.abs(want).max() + 1e-12)

    bad = any(argument.kind == "bad" for argument in arguments.values())
    return Call("nt_gram", function, arguments, None if bad else check, names=("parallel", "center"))


ENTRIES: dict[str, Entry] = {
    "QuadraticFunction": quadratic_function,
    "QuadraticTarget": quadratic_target,
    "exponential_target": exponential_target,
    "identity_target": fixed_target("identity_target", lambda k: 1.0),
    "power_law_target": power_law_target,
    "rank_one_target": fixed_target("rank_one_target", lambda k: float(k == 1)),
    "spiked_target": spiked_target,
    "draw_weights": draw_weights,
    "gap_target": gap_target,
    "rf_gram": rf_gram,
    "rf_kernel": rf_kernel,
    "nt_kernel": nt_kernel,
    "rf_normal_equations": rf_normal_equations,
    "nt_gram": nt_gram,
}
