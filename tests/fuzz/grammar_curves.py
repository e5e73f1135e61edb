"""The grammar of learning curves."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastlazy
from fuzz import functions, oracles, values
from fuzz.grammar import Entry, call, excuse_jumps, maybe, rows, shape, target
from fuzz.judge import Call
from fuzz.values import Draw, Value


def _sizes(draw: Draw) -> Value:
    good: list[Any] = [1, 3, 20, 7.5, 1e6, np.inf, np.array([2.0, 30.0, np.inf]), [5, 50], np.geomspace(1, 1e5, 4)]
    odd = [np.array(4), np.int64(9), np.float32(6.0), (3, 4), 1e300, np.array([[5.0]])[0]]
    bad = [0, -1, 0.5, np.nan, -np.inf, [], [[3.0]], [5, np.nan], np.array([1.0, -np.inf]), "5", True, None, 1j]
    found = draw.one_of(good, odd, bad)
    return found if found.kind == "bad" else found._replace(plain=np.asarray(found.value, float))


def _ridge(draw: Draw) -> Value:
    good: list[Any] = [0.0, 0.1, 1e-3, 10, [0.0, 0.1], np.array([1e-3, 5.0]), "best"]
    odd = [np.array(0.2), np.float32(0.5), 1e-300, 1e300, (1.0,), 5e-324]
    bad = [-1.0, np.nan, np.inf, [0.1, -1e-9], [], [[0.1]], "worst", "", None, True, {"ridge": 1}]
    found = draw.one_of(good, odd, bad)
    plain = found.value if found.kind == "bad" or isinstance(found.value, str) else np.asarray(found.value, float)
    return found._replace(plain=plain)


def _check(regime: str, twin: functions.Twin | None) -> Any:
    def check(plain: Any, got: Any) -> str | None:
        n, ridge = plain["n_samples"], plain.get("ridge", np.zeros(()))
        best = isinstance(ridge, str)
        risk = np.asarray(got.risk if best else got, float)
        if risk.shape != (n.shape if best else n.shape + ridge.shape):
            return f"has shape {risk.shape}"
        if np.isnan(risk).any() or (risk < 0).any():
            return "is NaN or below zero"
        if best:
            null = 2 * np.sum(np.square(plain["target"][0], dtype=np.longdouble))
            above = (risk > null * (1 + 1e-6)).any() or not (np.asarray(got.ridge) >= 0).all()
            return "is above the null risk, or its ridge below zero" if above else None
        return oracles.learning_curve(regime, plain["target"][0], plain["W"], twin, n, ridge, risk)

    return check


def _curve(regime: str) -> Entry:
    def entry(draw: Draw) -> Call:
        N, d = shape(draw)
        sigma, twin = functions.activation(draw, tangent=regime == "NT")
        arguments = {
            "target": target(draw, d), "W": rows(draw, N, d), "n_samples": _sizes(draw), "activation": sigma
        }  # fmt: skip
        if regime == "NT":
            excuse_jumps(arguments, twin)
        maybe(draw, arguments, "ridge", lambda: _ridge(draw))
        if draw.chance(0.2):
            arguments["parallel"] = values.flag(draw)
        if regime == "NT" and draw.chance(0.2):
            arguments["tolerance"] = values.real(draw, [1e-2, 1e-3], low=0.0)
            arguments["max_iterations"] = values.count(draw, 300)
        return call(f"{regime.lower()}_learning_curve", arguments, _check(regime, twin), infinite=True)

    return entry


def best_ridge(draw: Draw) -> Call:
    arguments = {"risk": Value(draw.pick([0.5, np.ones(3)])), "ridge": Value(draw.pick([0.0, np.inf]))}

    def check(made: Any) -> str | None:
        return None if made[0] is made.risk else "is no tuple"

    return Call("BestRidge", fastlazy.BestRidge, arguments, check, infinite=True)


ENTRIES: dict[str, Entry] = {
    "rf_learning_curve": _curve("RF"),
    "nt_learning_curve": _curve("NT"),
    "BestRidge": best_ridge,
}
