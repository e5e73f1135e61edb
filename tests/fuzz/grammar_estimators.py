"""The grammar of the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from fastlazy import estimators
from fuzz import functions, oracles, values
from fuzz.grammar import Entry, rows
from fuzz.judge import Call
from fuzz.values import Draw, Value


def _data(draw: Draw, n: int, d: int, outputs: tuple[int, ...]) -> tuple[Value, Value, Value]:
    """Samples, responses, of several *outputs* or one, and further samples."""
    X = rows(draw, n, d)
    y = values.array(draw, (n, *outputs), bad=[np.ones(n + 1), np.ones((n, 1, 1)), "a", np.array(["a"] * n)])
    if y.kind == "bad" and getattr(y.value, "shape", None) == (n, 1):  # one output
        y = y._replace(kind="odd")
    new = rows(draw, 3, d) if draw.chance(0.5) and X.kind != "bad" else X
    texts = [getattr(getattr(v.value, "dtype", None), "kind", "") in ("M", "U") for v in (X, y, new)]
    return tuple(v._replace(kind="odd") if text else v for v, text in zip((X, y, new), texts, strict=True))


def _labels(draw: Draw, n: int) -> Value:
    """Labels of two classes or three, each of which comes; plain is where they are among the sorted ones."""
    k = draw.size(2, min(3, n))
    index = np.concatenate([np.arange(k), draw.rng.integers(k, size=n - k)])
    names = draw.pick([["a", "b", "c"], [-1, 0, 7], [False, True, True][:k], [0.0, 1.0, 2.0]])
    label = np.array(names)[index]
    forms = [label, label.tolist(), label.astype(object)]
    bad = [
        label[:-1],
        label[:1].repeat(n),
        label[:, None, None],
        index + 0.3,
        index + 1j,
        [["a"], ["b", "c"]],
        "a",
        None,
    ]
    found = draw.one_of(forms, [label[:, None]], bad)
    return found._replace(plain=np.unique(label, return_inverse=True)[1])


def _estimator(name: str) -> Entry:
    network, transformer = "Network" in name, name == "RFTransformer"
    any_sigma, classes = name.startswith("Network"), name.endswith("Classifier")

    def entry(draw: Draw) -> Call:
        N, d, n = draw.size(1, 6), draw.size(1, 4), draw.size(2 if classes else 1, 24)
        several = not (transformer or classes) and draw.chance(0.3)
        X, y, new = _data(draw, n, d, (draw.size(1, 3),) if several else ())
        if classes:
            y = _labels(draw, n)
        if transformer:
            y = y._replace(kind="odd", plain=y.plain)
        if network and n < 4:
            X = X._replace(kind="odd" if X.kind == "good" else X.kind)
        sigma, twin = functions.activation(draw, tangent=name.startswith("NT") or any_sigma, pointwise=True)
        arguments = {"X": X, "y": y, "X_new": new, "n_neurons": values.count(draw, N)}
        options = {
            "weights": lambda: rows(draw, N, d, none=False),
            "random_state": lambda: draw.one_of(
                [0, 5], [None, np.random.RandomState(0)], [-1, "a", 1.5, *values.strange(False)]
            ),
            "parallel": lambda: values.flag(draw),
        }
        if network:
            options |= _of_a_network(draw)
        if classes:
            options["class_weight"] = lambda: draw.one_of(
                [None, "balanced", {}],
                [{"a": 0.5}, {0: 0.0}, {1: 1e300}],
                ["even", [1.0], {"z": 1.0}, *values.strange(False)],
            )
        if not transformer:
            options["sample_weight"] = lambda: draw.one_of(
                [np.ones(n), np.arange(1.0, n + 1), [0.5] * n, 1e-9 * np.arange(1, n + 1)],
                [np.arange(n) % 3, np.geomspace(1e-300, 1e300, n), np.ones(n, bool), 2.0],
                [-np.ones(n), np.zeros(n), "a", np.ones(n + 1), np.full(n, np.nan), ["1"] * n],
            )
        if name != "QuadraticNetworkRegressor":
            arguments["activation"] = sigma
        if not (network or transformer):
            alphas = [1.0, 0.1, 10.0, [0.1, 1.0], np.array([1.0, 10.0])]
            options |= {
                "alpha": lambda: draw.one_of(
                    alphas, [0, 0.0, 1e-300, 1e300, True], [-1.0, np.nan, "a", [], [-1.0], *values.strange()]
                ),
                "fit_intercept": lambda: values.flag(draw),
            }
        if name.startswith("NT"):
            options["include_rf"] = lambda: values.flag(draw)
        for key, make in options.items():
            if draw.chance(0.3):
                arguments[key] = make()
        wide = isinstance(X.value, np.ndarray) and X.value.shape == (n, d + 1)
        if wide and new is X and "weights" not in arguments:  # nothing else says d
            arguments |= {"X": X._replace(kind="odd"), "X_new": new._replace(kind="odd")}
        partial = network and draw.chance(0.3)
        if partial and "early_stopping" in arguments:
            arguments["early_stopping"] = arguments["early_stopping"]._replace(kind="odd")

        def function(X: Any, y: Any, X_new: Any, sample_weight: Any = None, **parameters: Any) -> Any:
            model = getattr(estimators, name)(**({"max_epochs": 20} if network else {}) | parameters)
            weighted = {} if sample_weight is None else {"sample_weight": sample_weight}
            if partial:
                known = {"classes": [*{*np.ravel(y)}]} if classes else {}
                for _ in range(3):
                    model.partial_fit(X, y, **weighted, **known)
            else:
                model.fit(X, y, **weighted)
            if classes:
                assert {*model.predict(X_new)} <= {*model.classes_}
                return model, model.decision_function(X_new)
            return model, model.transform(X_new) if transformer else model.predict(X_new)

        def check(result: Any) -> str | None:
            model, got = result
            if not np.isfinite(got).all():
                return "gives NaN or infinity"
            weights, F = np.asarray(model.weights_, np.float64), X.plain
            if transformer:
                return _features(new.plain, weights, twin, got)
            if network:
                return _network(new.plain, model, twin if any_sigma else functions.BUILTIN["square"], got)
            F, F_new = (_design(Z, weights, twin, model) for Z in (X.plain, new.plain))
            if F is None or twin.wild or (twin.jumps and name == "NTRegressor"):
                return None
            weight = arguments["sample_weight"] if "sample_weight" in arguments else Value(np.ones(n))
            if weight.kind != "good" or arguments.get("class_weight", Value(None)).value not in (None, {}):
                return None
            targets = y.plain
            if classes:
                k = targets.max() + 1
                targets = 2.0 * (targets == 1 if k == 2 else targets[:, None] == np.arange(k)) - 1
            # The problem with weights of mean 1, and the penalty in the same unit.
            weight = np.asarray(weight.value, float)
            fit = model.alpha_ / weight.mean(), bool(model.fit_intercept), weight / weight.mean()
            return oracles.ridge_fit(F, targets, fit, F_new, got, np.finfo(model.weights_.dtype).eps)

        bad = any(argument.kind == "bad" for argument in arguments.values())
        bad = bad or any(argument.plain is None for argument in (X, y, new))
        extra = (
            "activation",
            "weights",
            "features",
            "samples",
            "X",
            "y",
            "W",
            "early_stopping",
            "alpha",
            "sample_weight",
        )
        return Call(
            name,
            function,
            arguments,
            None if bad else check,
            names=extra,
            allowed=(NotFittedError, AttributeError) if partial else (),
        )

    return entry


def _of_a_network(draw: Draw) -> dict[str, Any]:
    return {
        "batch_size": lambda: values.count(draw, draw.pick([1, 5, 100])),
        "max_epochs": lambda: values.count(draw, draw.pick([1, 10])),
        "second_layer": lambda: values.option(draw, ["signs", "ones", "scalar", "free"]),
        "step_size": lambda: draw.one_of(["auto", 1e-3], [0, 0.0, 1e3, 1e300], ["a", -1.0, np.nan, *values.strange()]),
        "shuffle": lambda: values.flag(draw),
        "tol": lambda: values.real(draw, [1e-4, 0.0], low=0.0),
        "n_iter_no_change": lambda: values.count(draw, 3),
        "early_stopping": lambda: values.flag(draw),
        "validation_fraction": lambda: values.real(draw, [0.1, 0.5], low=1e-9),
        "warm_start": lambda: values.flag(draw),
    }


def _network(X: Any, model: Any, twin: Any, got: Any) -> str | None:
    """Each output by its definition."""
    single = np.ndim(model.weights_) == 2
    fitted = model.weights_, model.second_layer_, model.intercept_
    each = [fitted] if single else list(zip(*fitted, strict=True))
    for one, values_of_one in zip(each, [got] if single else got.T, strict=True):
        W, a, c = (np.asarray(part, np.float64) for part in one)
        z, a = X @ W.T, np.broadcast_to(a, len(W))
        eps = np.finfo(got.dtype).eps
        spread = 8 * eps * (np.abs(X) @ np.abs(W).T)
        values_of_z = twin.function(z)
        change = np.maximum(*(np.abs(twin.function(z + sign * spread) - values_of_z) for sign in (-1, 1)))
        if twin.wild or not np.isfinite(change).all():
            return None
        room = 4 * change + 64 * eps * (np.abs(values_of_z) + np.abs(z) + 1e-12)
        size = room @ np.abs(a) + 64 * eps * abs(c) + 1e-300
        if (wrong := oracles.differs(values_of_one, values_of_z @ a + c, 1.0, size)) is not None:
            return wrong
    return None


def _features(X: Any, W: Any, twin: Any, got: Any) -> str | None:
    eps = np.finfo(got.dtype).eps
    arguments, spread = X @ W.T, 8 * eps * (np.abs(X) @ np.abs(W).T)
    want = twin.function(arguments)
    change = np.maximum(*(np.abs(twin.function(arguments + sign * spread) - want) for sign in (-1, 1)))
    if twin.wild or not np.isfinite(change).all():
        return None
    return oracles.differs(got, want, 1.0, 4 * change + 64 * eps * (np.abs(want) + np.abs(arguments) + 1e-12))


def _design(X: Any, W: Any, twin: Any, model: Any) -> Any:
    """The features of an estimator, all stored."""
    Z = X @ W.T
    if not hasattr(model, "include_rf"):
        return twin.function(Z)
    if twin.slope is None:
        return None
    J = (twin.slope(Z)[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    return np.concatenate([J, twin.function(Z)], axis=1) if model.include_rf else J


ENTRIES: dict[str, Entry] = {name: _estimator(name) for name in estimators.__all__}
