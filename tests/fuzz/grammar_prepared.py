"""Weights that are laid out once, and kernels that take them."""

from __future__ import annotations

import numpy as np

import fastlazy
from fuzz import functions, oracles
from fuzz.grammar import Entry, call, rows
from fuzz.judge import Call
from fuzz.values import Draw, Value


def prepare_weights(draw: Draw) -> Call:
    def check(plain: dict, got: fastlazy.PreparedWeights) -> str | None:
        same = np.array_equal(got.W, np.asarray(plain["W"], got.dtype))
        return None if same else "holds other weights"

    return call("prepare_weights", {"W": rows(draw, draw.size(1, 6), draw.size(1, 5))}, check)


def prepared_weights(draw: Draw) -> Call:
    """A kernel of prepared weights; samples may be odd or bad."""
    name, (n, N, d) = draw.pick(["rf_kernel", "nt_kernel"]), (draw.size(1, size) for size in (6, 6, 5))
    tangent = name == "nt_kernel"
    sigma, twin = functions.activation(draw, tangent=tangent, pointwise=True)
    W, X = rows(draw.good_only(), N, d, none=False), rows(draw, n, d)
    prepared = fastlazy.prepare_weights(W.value)
    kind = "good" if prepared.dtype == np.float64 or getattr(X.value, "dtype", None) == np.float32 else "bad"
    arguments = {"X": X, "W": Value(prepared, kind, W.plain), "activation": sigma}
    return call(
        name,
        arguments,
        lambda plain, got: oracles.kernel(plain["X"], plain["W"], twin, None, got, tangent),
    )._replace(name="PreparedWeights")


ENTRIES: dict[str, Entry] = {"prepare_weights": prepare_weights, "PreparedWeights": prepared_weights}
