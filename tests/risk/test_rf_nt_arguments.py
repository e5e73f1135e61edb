"""Exact risks: what may be passed, and what is refused in which words."""

import functools

import numpy as np
import pytest
from drawn_risks import LAZY, drawn_target, drawn_weights

from fastlazy.risk.network import network_risk
from fastlazy.risk.nn import nn_risk
from fastlazy.risk.nt import nt_risk
from fastlazy.risk.rf import rf_risk

CALLS = {
    "rf_risk": rf_risk,
    "rf_risk ridge": functools.partial(rf_risk, ridge=0.1),
    "nt_risk": nt_risk,
    "nt_risk ridge": functools.partial(nt_risk, ridge=0.1),
    "network_risk": network_risk,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("N", [2, 9])
def test_harmless_arrays_are_converted_and_none_is_modified(call, N):
    target = drawn_target(4)
    W = np.random.default_rng(0).integers(-3, 4, (N, 4)).astype(float)
    W[0] += 4
    expected = call(target, W)
    assert type(expected) is float
    read_only = W.copy()
    read_only.flags.writeable = False
    strided = np.full((2 * N, 12), np.nan)
    strided[::2, ::3] = W
    for given_W in (W, W.astype(int), W.astype(np.float32), W.tolist(), np.asfortranarray(W), read_only):
        kept = np.array(given_W)
        assert call(target, given_W) == expected
        np.testing.assert_array_equal(given_W, kept)
    assert call(target, strided[::2, ::3]) == expected
    assert call(target, W[::-1][::-1]) == expected


def test_the_second_layer_is_not_modified():
    target, W, a = drawn_target(4), drawn_weights(3, 4), np.array([1.0, -1.0, 2.0])
    network_risk(target, W, a, 0.3)
    np.testing.assert_array_equal(a, [1.0, -1.0, 2.0])


BAD_WEIGHTS = {
    "one row": (np.ones(3), ValueError, r"^W must be 2-dimensional, got shape \(3,\); for one row pass W\[None, :\]"),
    "3-D": (np.ones((2, 3, 3)), ValueError, r"^W must be 2-dimensional, got shape \(2, 3, 3\)$"),
    "length": (np.ones((4, 2)), ValueError, r"^W has rows of length 2 \(shape \(4, 2\)\), but the target has d = 3"),
    "transposed": (np.ones((3, 4)), ValueError, r"^W has rows of length 4 .* d = 3; .*; pass its transpose$"),
    "nan": ([[0, 1, np.nan]], ValueError, r"^W must be finite, got 1 NaN or infinite entries, the first at \[0, 2\]"),
    "inf": ([[0, 1, 2], [np.inf, 0, -np.inf]], ValueError, r"^W must be finite, got 2 .* the first at \[1, 0\]"),
    "complex": (np.ones((1, 3)) + 0j, TypeError, "^W must hold real numbers, got an array of dtype complex128"),
    "strings": ([["a", "b", "c"]], TypeError, "^W must hold real numbers, got an array of dtype <U1"),
    "ragged": ([[1.0, 2.0, 3.0], [1.0]], TypeError, "^W cannot be made an array .* rows of equal length"),
    "empty": (np.ones((0, 3)), ValueError, r"^W is empty, got shape \(0, 3\)"),
    "None": (None, TypeError, "^W must hold real numbers, got None of type NoneType"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("W", "error", "message"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights_are_refused(call, W, error, message):
    with pytest.raises(error, match=message):
        call(drawn_target(3), W)


@LAZY
def test_bad_options_are_refused(risk):
    target, W = drawn_target(3), drawn_weights(2, 3)
    for ridge in (-1e-9, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"^ridge must be a finite number at least 0, got {ridge}"):
            risk(target, W, ridge=ridge)
    for ridge in ("0.1", None, 1j, [0.1, 0.2]):
        with pytest.raises(TypeError, match=r"^ridge must be a real number, got .*; pass a float"):
            risk(target, W, ridge=ridge)
    with pytest.raises(ValueError, match=r"^activation = 'cubic' is not known; pass one of .*'square'"):
        risk(target, W, "cubic")
    with pytest.raises(TypeError, match=r"^activation must be a name.*, got 2; pass "):
        risk(target, W, 2)
    with pytest.raises(TypeError, match="positional"):
        risk(target, W, "square", 0.1)


@pytest.mark.parametrize(
    "call",
    [*(functools.partial(call, W=np.ones((2, 2))) for call in CALLS.values()), functools.partial(nn_risk, N=2)],
    ids=[*CALLS, "nn_risk"],
)
def test_what_is_no_target_is_refused(call):
    for target in (np.eye(2), None, "target"):
        with pytest.raises(
            TypeError,
            match=f"^target must be a QuadraticTarget or a GaussianMixture, got {type(target).__name__}; pass",
        ):
            call(target)


def test_bad_widths_are_refused():
    target = drawn_target(3)
    for N in (0, -2):
        with pytest.raises(ValueError, match=f"^N must be at least 1, got {N}; pass a larger N"):
            nn_risk(target, N)
    for N in (1.5, "2", None, True, np.inf):
        with pytest.raises(TypeError, match=r"^N must be a whole number, got .*; pass an int"):
            nn_risk(target, N)


def test_bad_second_layers_and_offsets_are_refused():
    target, W = drawn_target(3), drawn_weights(2, 3)
    with pytest.raises(
        ValueError, match=r"^a has 3 entries, but W has 2 rows \(shape \(2, 3\)\); pass one entry per row"
    ):
        network_risk(target, W, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"^a must be 0-dimensional or 1-dimensional, got shape \(2, 1\)"):
        network_risk(target, W, [[1.0], [2.0]])
    for a in (np.nan, [1.0, np.inf]):
        with pytest.raises(ValueError, match=r"^a must be finite, got 1 NaN or infinite"):
            network_risk(target, W, a)
    for a in ("1", 1j, None):
        with pytest.raises(TypeError, match=r"^a must hold real numbers, got"):
            network_risk(target, W, a)
    with pytest.raises(ValueError, match=r"^c must be a finite number, got nan"):
        network_risk(target, W, 1.0, np.nan)
    with pytest.raises(TypeError, match=r"^c must be a real number, got"):
        network_risk(target, W, 1.0, [1.0, 2.0])
