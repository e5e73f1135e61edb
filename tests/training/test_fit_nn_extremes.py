"""`fit_nn` at the ends of floating point, and where its defaults cannot learn the target: told, or told before."""

import warnings

import numpy as np
import pytest

from fastlazy import QuadraticTarget, fit_nn, nn_risk
from fastlazy.sweeps.cells import canonical_cell
from fastlazy.sweeps.measure import measure

SIZES = [1e10, 1e20, 1e30, 1e37, 1e40, 1e70, 1e76, 1e100, 1e140, 1e160, 1e300]
EVEN = np.ones((3, 4))
STARTS = {
    "c0": lambda v: {"c0": v},
    "W0": lambda v: {"W0": v * EVEN},
    "W0 and c0": lambda v: {"W0": v * EVEN, "c0": 0.0},
    "W0 that cancels": lambda v: {"W0": v * EVEN, "a0": [1, -1, 1], "second_layer": "signs"},
    "a0": lambda v: {"a0": v, "second_layer": "free"},
    "a0, scalar": lambda v: {"a0": v, "second_layer": "scalar"},
    "a0 and W0": lambda v: {"a0": v, "W0": EVEN / v, "second_layer": "free"},
    "step": lambda v: {"step_size": v},
    "steps": lambda v: {"step_size": lambda u: (v, v, v)},
    "scaled step": lambda v: {"step_size": v, "scale": 1e-10},
    "scaled W0": lambda v: {"W0": v * EVEN, "scale": 1.0},
    "slightly scaled W0": lambda v: {"W0": v * EVEN, "scale": 1e-10},
}


def run(target, **options):
    """A run and the warnings; None and the message if it is refused."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = fit_nn(target, 3, n_samples=2000, batch_size=10, rng=0, n_threads=1, n_records=5, **options)
        except ValueError as error:
            return None, [str(error)]
    return fit, [str(warning.message) for warning in caught]


def assert_finite(fit):
    parts = [fit.W, fit.a, fit.c, fit.risk, fit.W0, fit.a0, fit.c0]
    parts += vars(fit.diagnostics).values() if fit.diagnostics else []
    assert all(np.isfinite(part).all() for part in parts)


@pytest.mark.sampled(20)
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("diagnostics", [False, True])
def test_a_start_of_any_size_is_refused_or_ends_in_a_finite_state(start, dtype, diagnostics):
    target = QuadraticTarget([1.0, 2.0, 3.0, 1.0], b0=0.5)
    refused = 0
    for size in SIZES:
        fit, told = run(target, dtype=dtype, diagnostics=diagnostics, **start(size))
        if fit is None:
            assert any(name in told[0] for name in ("W0", "a0", "c0")), told
            refused += 1
            continue
        assert_finite(fit)
        told = [message for message in told if "rounding of scale f_0" not in message]
        assert len(told) == (fit.status == "diverged")
        assert all(message.startswith("fit_nn diverged between") for message in told)
    assert refused < len(SIZES)


@pytest.mark.parametrize(("b0", "c0"), [(0.0, 1e160), (1e160, 0.0), (-1e300, 1e300)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_offset_too_far_from_the_target_is_named(b0, c0, dtype):
    with pytest.raises(ValueError, match=r"^c0 differs from b0 by a number of size .*e\+.* pass one below 1e"):
        fit_nn(QuadraticTarget([1.0, 2.0], b0), 2, n_samples=100, c0=c0, dtype=dtype, rng=0)


def test_a_start_too_large_is_named_once_for_float64_and_with_what_helps_for_float32():
    target = QuadraticTarget([1.0, 2.0])
    options = {"n_samples": 100, "rng": 0, "W0": np.full((2, 2), 1e20)}
    with pytest.raises(ValueError, match=r"^W0 and a0 make a function of size 4e\+40, .* 1e\+30, or dtype=np.float64$"):
        fit_nn(target, 2, **options)
    options["W0"] = options["W0"] * 1e60
    with pytest.raises(ValueError, match=r"^W0 and a0 make a function of size 4e\+160, .* pass one below 1e\+145$"):
        fit_nn(target, 2, dtype=np.float64, **options)


@pytest.mark.parametrize("smallest", [1e-200, 1e-305, 1e-310, 5e-324])
def test_shares_of_directions_that_are_hardly_there_are_finite(smallest):
    fit, told = run(QuadraticTarget([1.0, 2.0, 3.0, smallest]), diagnostics=True)
    assert told == []
    assert_finite(fit)


INDEFINITE = QuadraticTarget([3.0, 1.0, -2.0, -0.5])


@pytest.mark.parametrize("second_layer", ["ones", "scalar"])
@pytest.mark.parametrize(("N", "stays"), [(1, None), (2, 0.298), (4, 0.298)])
def test_a_second_layer_of_one_sign_warns_of_negative_eigenvalues(second_layer, N, stays):
    assert 2 * (4 + 0.25) / INDEFINITE.null_risk == pytest.approx(0.298, abs=5e-4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = fit_nn(INDEFINITE, N, n_samples=100, second_layer=second_layer, rng=0)
    told = [warning for warning in caught if "negative eigenvalues" in str(warning.message)]
    assert len(told) == (stays is not None)  # one neuron learns the largest eigenvalue, whatever its sign may be
    for warning in told:
        assert warning.category is UserWarning
        assert warning.filename == __file__
        assert f"second_layer={second_layer!r} cannot learn: the risk stays above {stays}" in str(warning.message)
        assert str(warning.message).endswith("pass second_layer='signs'")
    assert fit.risk[-1] > nn_risk(INDEFINITE, N)


def test_where_the_signs_are_free_or_not_needed_nothing_is_said():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    semidefinite = QuadraticTarget((Q * [1.0, 2.0, 3.0, 0.0, 0.0, 0.0]) @ Q.T)
    assert semidefinite.eigenvalues.min() < 0  # by rounding
    for target, options in [
        (semidefinite, {}),
        (semidefinite, {"scale": 2.0}),
        (QuadraticTarget(np.zeros(3)), {}),
        (INDEFINITE, {"second_layer": "signs"}),
        (INDEFINITE, {"second_layer": "free"}),
        (INDEFINITE, {"scale": 100.0, "W0": np.eye(4)}),  # (f - f_0) may have any sign
    ]:
        fit_nn(target, 4, n_samples=100, rng=0, **options)  # warnings are errors


def test_under_lazy_scaling_it_is_what_the_start_leaves_room_for():
    with pytest.warns(UserWarning, match="cannot learn"):
        fit_nn(INDEFINITE, 4, n_samples=100, scale=0.1, W0=np.eye(4), rng=0)


def test_cells_are_not_flooded():
    cell = {"regime": "NN", "d": 4, "N": 3, "n_samples": 100, "target": [3.0, 1.0, -2.0, -0.5]}
    found = measure(canonical_cell(cell))
    assert found["fit_status"] == "finished"
    assert found["predicted"] > 0.29
