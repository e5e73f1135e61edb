"""The grammar of risks and of their predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuzz import functions, oracles, oracles_mixture, values
from fuzz.functions import Twin
from fuzz.grammar import Entry, call, covariance, excuse_jumps, maybe, rows, second_layer, shape
from fuzz.grammar_mixture import Inputs, learned
from fuzz.judge import Call
from fuzz.oracles_mixture import Pair
from fuzz.values import Draw, Value


def _risk(draw: Draw, **options: Any) -> tuple[dict[str, Value], Twin | None, int, int]:
    N, d = shape(draw)
    sigma, twin = functions.activation(draw, **options)
    arguments = {"target": learned(draw, d), "W": rows(draw, N, d), "activation": sigma}
    if draw.chance(0.1):
        del arguments["activation"]
        twin = functions.BUILTIN["square"]
    maybe(draw, arguments, "parallel", lambda: values.flag(draw))
    if options.get("tangent"):
        excuse_jumps(arguments, twin)
        hides = isinstance(arguments["target"].plain, (Pair, Inputs))  # an input so small that it sees no jump
        if hides and twin is not None and twin.jumps:
            arguments["activation"] = arguments["activation"]._replace(kind="odd")
    return arguments, twin, N, d


def whitened(plain: dict[str, Any]) -> dict[str, Any]:
    """The plain arguments of a call, for inputs N(0, I)."""
    return plain["target"].whiten(plain) if isinstance(plain["target"], Inputs) else plain


def rf_risk(draw: Draw) -> Call:
    arguments, twin, _, _ = _risk(draw)
    if draw.chance(0.3):
        arguments["ridge"] = values.real(draw, [0.1, 1e-3, 10.0], low=0.0)

    def check(plain: Any, got: Any) -> str | None:
        plain = whitened(plain)
        if isinstance(plain["target"], Pair):
            return oracles_mixture.rf_risk(plain["target"], plain["W"], twin, plain.get("ridge", 0.0), got)
        return oracles.rf_risk(plain["target"][0], plain["W"], twin, plain.get("ridge", 0.0), got)

    return call("rf_risk", arguments, check)


def nt_risk(draw: Draw) -> Call:
    arguments, twin, _, _ = _risk(draw, tangent=True)
    if draw.chance(0.3):
        arguments["ridge"] = values.real(draw, [0.1, 1e-3, 10.0], low=0.0)
    if draw.chance(0.2):
        arguments["tolerance"] = values.real(draw, [1e-6, 1e-10], low=0.0)
    if draw.chance(0.2):
        arguments["max_iterations"] = values.count(draw, 500, odd=[1, 2, 10**9])
    loose = "tolerance" in arguments or "max_iterations" in arguments

    def check(plain: Any, got: Any) -> str | None:
        if isinstance(plain["target"], Inputs) and plain.get("ridge", 0) > 0:  # which is another problem in z
            return None if 0 <= got < np.inf else f"is {got}"
        plain = whitened(plain)
        known = None if loose else twin
        if isinstance(plain["target"], Pair):
            return oracles_mixture.nt_risk(plain["target"], plain["W"], known, plain.get("ridge", 0.0), got)
        return oracles.nt_risk(plain["target"][0], plain["W"], known, plain.get("ridge", 0.0), got)

    return call("nt_risk", arguments, check)


def network_risk(draw: Draw) -> Call:
    arguments, twin, N, _ = _risk(draw)
    maybe(draw, arguments, "a", lambda: second_layer(draw, N))
    maybe(draw, arguments, "c", lambda: values.real(draw, [0.0, -1.0]))

    def check(plain: Any, got: Any) -> str | None:
        plain = whitened(plain)
        layer, offset = plain.get("a", 1.0), plain.get("c", 0.0)
        if isinstance(plain["target"], Pair):
            return oracles_mixture.network_risk(plain["target"], plain["W"], layer, offset, twin, got)
        return oracles.network_risk(*plain["target"], plain["W"], layer, offset, twin, got)

    return call("network_risk", arguments, check)


def tangent_risk(draw: Draw) -> Call:
    arguments, twin, N, d = _risk(draw, tangent=True)
    arguments["b"] = rows(draw, N, d)
    maybe(draw, arguments, "c", lambda: values.real(draw, [0.0, -1.0]))

    def check(plain: Any, got: Any) -> str | None:
        plain = whitened(plain)
        if isinstance(plain["target"], Pair):
            offset = plain.get("c", 0.0)
            return oracles_mixture.tangent_risk(plain["target"], plain["W"], plain["b"], offset, twin, got)
        return oracles.tangent_risk(*plain["target"], plain["W"], plain["b"], plain.get("c", 0.0), twin, got)

    return call("tangent_risk", arguments, check)


def _limit(name: str, oracle: Any) -> Entry:
    def entry(draw: Draw) -> Call:
        d = draw.size(1, 6)
        arguments = {
            "target": learned(draw, d),
            "N": values.count(draw, draw.pick([1, 2, 3, 7, 30, 200]), odd=[10**6, 10**15]),
        }
        sigma, twin = functions.activation(draw, tangent=name == "nt_risk_limit")
        if (
            isinstance(arguments["target"].plain, (Pair, Inputs)) and name == "nt_risk_limit"
        ):  # known for some Sigma alone
            sigma = sigma._replace(kind="odd") if sigma.kind == "good" else sigma
        arguments["activation"] = sigma
        maybe(draw, arguments, "refined", lambda: values.flag(draw))
        if draw.chance(0.4):
            arguments["cov"] = covariance(draw, d)
            if name == "nt_risk_limit" and arguments["cov"].kind == "good":  # known for x^2 alone
                arguments["cov"] = arguments["cov"]._replace(kind="odd")
            if name == "nt_risk_limit" and twin is not None and twin.jumps:  # which rows may be too short to see
                arguments["activation"] = arguments["activation"]._replace(kind="odd")

        finite = draw.chance(0.3) and type(arguments["target"].plain) is tuple
        if finite:
            arguments["n_samples"] = values.real(draw, [5.0, 40.0, 1000.0], low=1.0)
            maybe(draw, arguments, "ridge", lambda: values.real(draw, [0.1, 1e-3], low=0.0))
            if name == "nt_risk_limit" and "cov" in arguments:  # known for multiples of the identity alone
                del arguments["cov"]

        def check(plain: Any, got: Any) -> str | None:
            if finite:
                return None if got >= 0 else f"is {got}"
            if isinstance(plain["target"], Inputs):
                return None if 0 <= got < np.inf else f"is {got}"
            if isinstance(plain["target"], Pair):
                return oracles_mixture.limit(plain["target"], got)
            refined = bool(plain.get("refined", False))
            return oracle(plain["target"][0], plain["N"], twin, plain.get("cov"), refined, got)

        return call(name, arguments, check, infinite=finite)

    return entry


def _nn(name: str) -> Entry:
    def entry(draw: Draw) -> Call:
        d = draw.size(1, 6)
        arguments = {"target": learned(draw, d), "N": values.count(draw, draw.size(1, 8), odd=[10**6, 10**15])}

        def check(plain: Any, got: Any) -> str | None:
            plain = whitened(plain)
            if isinstance(plain["target"], Pair):
                return oracles_mixture.nn_risk(plain["target"], plain["N"], got, name == "nn_risk")
            return oracles.nn_risk(plain["target"][0], plain["N"], got)

        return call(name, arguments, check)

    return entry


ENTRIES: dict[str, Entry] = {
    "rf_risk": rf_risk,
    "nt_risk": nt_risk,
    "network_risk": network_risk,
    "tangent_risk": tangent_risk,
    "rf_risk_limit": _limit("rf_risk_limit", oracles.rf_limit),
    "nt_risk_limit": _limit("nt_risk_limit", oracles.nt_limit),
    "nn_risk": _nn("nn_risk"),
    "nn_risk_limit": _nn("nn_risk_limit"),
}
