"""Predictions for random features of any function: the published numbers, matrices written out, exact risks."""

import naive
import naive_sectors
import numpy as np
import pytest
from drawn import COVS, drawn_covs, drawn_target, matrix, printed, published_target
from threadpoolctl import threadpool_limits

from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.risk.limits import rf_risk_limit
from fastlazy.targets.quadratic import QuadraticTarget
from fastlazy.targets.weights import draw_weights


@pytest.fixture(autouse=True)
def _one_blas_thread():
    # The matrices are small, and several threads would wait for one another on a busy machine.
    with threadpool_limits(limits=1):
        yield


@pytest.mark.parametrize(("N", "rf", "rf_refined"), [(450, ".8623", ".8613"), (4500, ".5660", ".5468")])
def test_published_numbers_of_relu(N, rf, rf_refined):
    target = published_target()
    assert printed(rf_risk_limit(target, N, "relu") / target.null_risk) == rf
    assert printed(rf_risk_limit(target, N, "relu", refined=True) / target.null_risk) == rf_refined


FUNCTIONS = {
    "relu": (get_activation("relu"), lambda x: np.maximum(x, 0)),
    "softplus": (get_activation("softplus"), lambda x: np.log1p(np.exp(x))),
    "x^2 + x": (Activation("x^2 + x", lambda x: x * x + x), lambda x: x * x + x),
    "shifted tanh": (Activation("shifted tanh", lambda x: np.tanh(x + 0.5)), lambda x: np.tanh(x + 0.5)),
    "cos": (get_activation("cos"), np.cos),
}
EACH_FUNCTION = pytest.mark.parametrize(("activation", "function"), FUNCTIONS.values(), ids=FUNCTIONS)


def naive_moments(function, r):
    """lam1, lam2 and tau of sigma(r x)."""
    lam = [naive.hermite_coefficient(function, r, k) for k in range(3)]
    tau = naive.gaussian_mean(lambda x: function(r * x) ** 2) - sum(value**2 for value in lam)
    return {"lam1": lam[1], "lam2": lam[2] * 2**0.5, "tau": tau if tau > 1e-12 else 0.0}


@pytest.mark.sampled(12)
@EACH_FUNCTION
@COVS
@pytest.mark.parametrize("N", [2, 8, 20])
def test_rf_of_any_function_equals_the_formula_in_matrices(activation, function, kind, N):
    target, cov = drawn_target(6), drawn_covs(6)[kind]
    dense = matrix(cov, 6)
    moments = naive_moments(function, np.trace(dense) ** 0.5)
    expected = naive.rf_limit(target.B, dense, N, **moments)
    assert rf_risk_limit(target, N, activation, cov=cov) / target.null_risk == pytest.approx(expected, rel=1e-6)
    rank = np.linalg.matrix_rank(dense)
    if moments["tau"] > 0 or rank * (rank + 3) / 2 > N:
        if kind == "isotropic":
            expected = naive_sectors.rf_limit(function, target.B, N)
        else:
            expected = naive.rf_limit_refined(target.B, dense, N, **moments)
        refined = rf_risk_limit(target, N, activation, cov=cov, refined=True)
        assert refined / target.null_risk == pytest.approx(expected, rel=1e-6)


@pytest.mark.sampled(2)
@EACH_FUNCTION
def test_the_trace_of_the_covariance_is_the_scale_of_the_function(activation, function):
    target = drawn_target(7)
    cov = np.linspace(0.5, 1.5, 7) / 7
    for refined in (False, True):
        scaled = Activation("scaled", lambda x, f=activation.compiled: f(3.0 * x))
        found = rf_risk_limit(target, 5, activation, cov=9 * cov, refined=refined)
        assert found == pytest.approx(rf_risk_limit(target, 5, scaled, cov=cov, refined=refined), rel=1e-9)
        same = rf_risk_limit(target, 5, activation, cov=cov, refined=refined)
        assert (found == pytest.approx(same, rel=1e-9)) == (activation.name == "relu")


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", ["linear", "he3", "erf", "tanh", "sin", "step", "sigmoid"])
@pytest.mark.parametrize("refined", [False, True])
def test_without_a_component_of_degree_two_nothing_is_learned(name, refined):
    """Odd functions, and constants added to them."""
    target = drawn_target(6)
    odd = Activation("odd and one", lambda x: np.tanh(x) + 1)
    for N in (1, 6, 21, 10**6):
        for activation in (name, odd):
            assert rf_risk_limit(target, N, activation, refined=refined) == target.null_risk
            assert rf_risk_limit(target, N, activation, refined=refined, cov=np.arange(1.0, 7.0)) == target.null_risk


@COVS
@pytest.mark.parametrize("refined", [False, True])
def test_a_constant_does_not_matter(kind, refined):
    target, cov = drawn_target(6), drawn_covs(6)[kind]
    for N in (3, 20, 21, 40):
        with_constant = rf_risk_limit(target, N, "he2", cov=cov, refined=refined)
        assert with_constant == pytest.approx(rf_risk_limit(target, N, cov=cov, refined=refined), rel=1e-9)


def test_polynomials_of_degree_two_span_a_finite_space():
    target = drawn_target(5)
    quadratic = Activation("x^2 + x", lambda x: x * x + x)
    assert rf_risk_limit(target, 20, quadratic, refined=True) == 0
    assert rf_risk_limit(target, 19, quadratic, refined=True) > 0
    assert rf_risk_limit(target, 10**6, "relu", refined=True) > 0


@EACH_FUNCTION
@pytest.mark.parametrize("scale", [None, 2.0])
def test_refined_rf_of_any_function_is_the_mean_over_draws(activation, function, scale):
    d, N = 60, 60
    target = QuadraticTarget(np.random.default_rng(0).exponential(size=d))
    cov = None if scale is None else np.linspace(0.5, 1.5, d) * scale / d
    risks = [naive.rf_risk(target.B, draw_weights(N, d, cov=cov, rng=seed), function) for seed in range(4)]
    ratios = np.array(risks) / target.null_risk
    predicted = rf_risk_limit(target, N, activation, cov=cov, refined=True) / target.null_risk
    assert predicted == pytest.approx(ratios.mean(), abs=0.012 + 3 * ratios.std(ddof=1) / 2)


def test_functions_without_moments_are_refused():
    target = drawn_target(4)
    steep = Activation("steep", lambda x: np.exp(x * x / 3))
    with pytest.raises(ValueError, match=r"^activation 'steep' has no finite Gaussian moments for rows of length 1 "):
        rf_risk_limit(target, 3, steep)
    assert 0 < rf_risk_limit(target, 3, steep, cov=np.full(4, 0.05)) < target.null_risk
