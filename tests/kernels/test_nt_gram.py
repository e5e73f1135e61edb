"""The tangent model's population Gram matrix as an operator, and its risk, for any non-linearity."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.sparse.linalg
from row_pairs import PAIRS

import fastlazy
from fastlazy._support import threads
from fastlazy.activations.builtin import _BUILTINS
from fastlazy.activations.nt_pairs import block_moments
from fastlazy.kernels import nt_gram
from fastlazy.risk import nt_solver
from tests import naive_gram as naive

OWN = fastlazy.Activation("shifted tanh", lambda x: math.tanh(x + 0.5), lambda x: 1 / math.cosh(x + 0.5) ** 2)
ALONE = fastlazy.Activation("tanh alone", lambda x: math.tanh(x + 0.5))
KINKED = fastlazy.Activation("shifted relu", lambda x: max(x - 0.3, 0.0), lambda x: 1.0 if x > 0.3 else 0.0)
NAMES = [name for name in _BUILTINS if name != "step"]
EVERY = [
    *(pytest.param(_BUILTINS[name], id=name) for name in NAMES),
    *(pytest.param(a, id=a.name) for a in (OWN, ALONE)),
]


def rows(theta, r, s):
    return np.array([[r, 0.0, 0.0], [s * math.cos(theta), s * math.sin(theta), 0.0]])


def as_matrix(operator):
    return operator @ np.eye(operator.shape[1])


def slope_of(activation):
    return (OWN if activation is ALONE else activation).values


@pytest.mark.sampled(2)
@pytest.mark.parametrize("activation", EVERY)
def test_blocks_are_integrals_over_the_plane(activation):
    for theta, r, s in PAIRS:
        if activation is ALONE and max(r, s) > 5:
            continue  # refused: a pair at that angle takes an integral of sigma'
        if activation.name == "exp":
            r, s = min(r, 1.0), min(s, 1.0)
        K = as_matrix(fastlazy.nt_gram(rows(theta, r, s), activation))
        expected = naive.plane_block(lambda x: slope_of(activation)(x, 1), r, s, theta)
        size = math.sqrt(np.trace(K[:3, :3]) * np.trace(K[3:, 3:]))
        np.testing.assert_allclose(K[:3, 3:], expected, rtol=0, atol=5e-12 * size, err_msg=str(theta))
        np.testing.assert_allclose(K[3:, :3], expected.T, rtol=0, atol=5e-12 * size)
        own = naive.plane_block(lambda x: slope_of(activation)(x, 1), r, r, 0.0)
        np.testing.assert_allclose(K[:3, :3], own, rtol=0, atol=1e-12 * size + 1e-11 * np.trace(own))


@pytest.mark.sampled(6)
@pytest.mark.parametrize("activation", EVERY)
def test_series_and_single_pairs_agree(activation):
    theta = np.linspace(0.2, math.pi - 0.2, 40)
    W = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    K = as_matrix(fastlazy.nt_gram(W, activation)).reshape(40, 2, 40, 2)
    i, j = np.tril_indices(len(W), -1)
    A, own, other, cross = (
        part[:, None, None] for part in block_moments(activation, *np.ones((2, len(i))), theta[i] - theta[j])
    )
    u, v = W[i, :, None], W[j, :, None]
    pairs = A * np.eye(2) + own * u * u.mT + other * v * v.mT + cross * (u * v.mT + v * u.mT)
    np.testing.assert_allclose(K[i, :, j], pairs, rtol=0, atol=1e-12 * np.abs(K).max())
    spectrum = np.linalg.eigvalsh(K.reshape(80, 80))
    assert spectrum[0] > -1e-13 * spectrum[-1]


@pytest.mark.sampled(8)
@pytest.mark.parametrize("angle", [1e-3, 1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "softplus"])
def test_nearly_parallel_and_opposite_rows(name, opposite, angle):
    """Of relu, 1{u, v > 0} has second moments off the identity by sin(theta) / 2 pi along the bisector, and across."""
    theta = math.pi - angle if opposite else angle
    K = as_matrix(fastlazy.nt_gram(rows(theta, 1.3, 0.8), name))[:3, 3:]
    if name == "softplus":
        expected = naive.plane_block(lambda x: _BUILTINS[name].values(x, 1), 1.3, 0.8, theta)
        np.testing.assert_allclose(K, expected, rtol=0, atol=1e-11)
    else:
        a = 0.01 if name == "leaky_relu" else 0.0
        along = np.array([math.cos(theta / 2), math.sin(theta / 2), 0])
        across = np.array([math.sin(theta / 2), -math.cos(theta / 2), 0])
        turned = math.sin(theta) / (2 * math.pi) * (np.outer(along, along) - np.outer(across, across))
        A = (1 - a) ** 2 * (math.pi - theta) / (2 * math.pi) + a
        np.testing.assert_allclose(K, A * np.eye(3) + (1 - a) ** 2 * turned, rtol=0, atol=1e-7)


def test_kinks_away_from_zero():
    for theta in (0.0, 0.01, 0.1, 0.3, 3.0, math.pi):
        K = as_matrix(fastlazy.nt_gram(rows(theta, 1.1, 0.7), KINKED))[:3, 3:]
        expected = naive.plane_block(lambda x: np.float64(x > 0.3), 1.1, 0.7, theta, kink=0.3)
        np.testing.assert_allclose(K, expected, rtol=0, atol=1e-10, err_msg=str(theta))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("N", "d"), [(1, 1), (2, 7), (31, 5), (33, 33), (97, 40), (300, 11)])
def test_product_is_that_of_the_whole_matrix(N, d, dtype):
    W = np.random.default_rng(N).standard_normal((N, d)).astype(dtype) / np.sqrt(d).astype(dtype)
    operator = fastlazy.nt_gram(W, "gelu", center=True)
    assert operator.dtype == dtype
    assert operator.shape == (N * d, N * d)
    whole = nt_gram.dense(
        nt_gram.tangent_gram(nt_gram.tangent_slopes(W.astype(float), _BUILTINS["gelu"]), np.dtype(float), True, True)
    )
    B = np.random.default_rng(0).standard_normal((N * d, 3))
    exact = whole @ B
    tolerance = {np.float64: 1e-12, np.float32: 1e-5}[dtype] * np.abs(exact).max()
    np.testing.assert_allclose(operator @ (1j * B), 1j * exact, rtol=0, atol=tolerance)
    for result in (operator @ B, operator.H @ B, np.stack([operator.rmatvec(b) for b in B.T], axis=1)):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, exact, rtol=0, atol=tolerance)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("activation", ["relu", "tanh", "square"])
def test_whole_matrix_is_that_of_single_pairs(activation):
    W = np.random.default_rng(1).standard_normal((4, 5))
    expected = naive.nt_gram(W, lambda x: _BUILTINS[activation].values(x, 1), naive.plane_block)
    K = as_matrix(fastlazy.nt_gram(W, activation))
    np.testing.assert_allclose(K, expected, rtol=0, atol=1e-10 * np.trace(expected) / 20)
    np.testing.assert_allclose(K, K.T, rtol=0, atol=1e-14 * K.max())


def test_square_is_its_closed_form():
    """For x^2 the function of coefficients b is <x, S x>, S = W^T b + b^T W, of variance 2 |S|^2 and mean tr S."""
    rng = np.random.default_rng(2)
    W, b = rng.standard_normal((2, 40, 9))
    S = W.T @ b + b.T @ W
    for center, mean in ((True, 0.0), (False, np.trace(S) ** 2)):
        K = fastlazy.nt_gram(W, center=center)
        assert b.ravel() @ (K @ b.ravel()) == pytest.approx(2 * np.sum(S**2) + mean, rel=1e-12)


def test_same_bits_for_any_number_of_threads(monkeypatch):
    W = np.random.default_rng(3).standard_normal((500, 60)) / 8
    b = np.random.default_rng(4).standard_normal(W.size)
    results = [fastlazy.nt_gram(W, "relu", parallel=False) @ b]
    for cores in (2, 3):
        monkeypatch.setattr(threads, "thread_limit", lambda cores=cores: cores)
        results.append(fastlazy.nt_gram(W, "relu") @ b)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_works_with_the_solvers_of_scipy():
    W = np.random.default_rng(5).standard_normal((6, 30)) / 5
    K = fastlazy.nt_gram(W, "relu")
    b = np.random.default_rng(6).standard_normal(180)
    solution, failed = scipy.sparse.linalg.cg(K, K @ b, rtol=1e-12)
    assert not failed
    np.testing.assert_allclose(solution, b, atol=1e-8)


def test_what_has_no_tangent_model_is_refused():
    W = np.ones((3, 4))
    with pytest.raises(ValueError, match="jumps"):
        fastlazy.nt_gram(W, "step")
    with pytest.raises(ValueError, match="no finite Gaussian moments"):
        fastlazy.nt_gram(W, fastlazy.Activation("e^x^2", lambda x: math.exp(x * x), lambda x: 2 * x * math.exp(x * x)))
    with pytest.raises(ValueError, match="overflow float32"):
        fastlazy.nt_gram(5 * W.astype(np.float32), "exp")
    with pytest.raises(ValueError, match="W"):
        fastlazy.nt_gram([[np.nan, 1.0]], "relu")
    near = [[1.0, 0.0], [math.cos(0.1), math.sin(0.1)]]
    with pytest.raises(ValueError, match="derivative="):
        fastlazy.nt_gram(near, fastlazy.Activation("kinked", lambda x: max(x - 0.3, 0.0)))


def target_of(d):
    spectrum = np.random.default_rng(d).exponential(size=d)
    basis = np.linalg.qr(np.random.default_rng(d + 1).standard_normal((d, d)))[0]
    return fastlazy.QuadraticTarget((basis * spectrum) @ basis.T, b0=0.7)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("small", [True, False], ids=["factorized", "iterated"])
@pytest.mark.parametrize(("N", "ridge"), [(5, 0.0), (20, 0.0), (60, 0.0), (20, 0.3), (60, 1e-3)])
def test_nt_risk_of_relu_is_that_of_a_dense_solve(monkeypatch, N, ridge, small):
    d = 20
    W = fastlazy.draw_weights(N, d, rng=N)

    def block(_, r, s, theta):  # in closed form, or the quadrature would take minutes
        turned = math.sin(theta) / (2 * math.pi)
        along = np.array([math.cos(theta / 2), math.sin(theta / 2), 0])
        across = np.array([math.sin(theta / 2), -math.cos(theta / 2), 0])
        A = (math.pi - theta) / (2 * math.pi)
        return A * np.eye(3) + turned * (np.outer(along, along) - np.outer(across, across))

    K = naive.nt_gram(W, None, block)
    target = target_of(d)
    expected = naive.nt_risk(W, lambda x: np.float64(x > 0), target.B, K, ridge)
    monkeypatch.setattr(nt_solver, "SMALL", 10**9 if small else 0)
    assert fastlazy.nt_risk(target, W, "relu", ridge=ridge) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_nt_risk_of_any_square_is_the_closed_form(monkeypatch, ridge):
    """x^2 and x^2 + 1 under other names go by the general way."""
    target = target_of(15)
    W = fastlazy.draw_weights(8, 15, rng=0) * np.linspace(0.5, 2, 8)[:, None]
    expected = fastlazy.nt_risk(target, W, ridge=ridge)
    assert fastlazy.nt_risk(target, W, "he2", ridge=ridge) == expected
    for activation in (lambda x: x * x, lambda x: x * x + 1.0):
        for limit in (0, 10**9):
            monkeypatch.setattr(nt_solver, "SMALL", limit)
            found = fastlazy.nt_risk(target, W, fastlazy.Activation("other", activation), ridge=ridge)
            assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("activation", [OWN, "relu", "softplus"])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_nt_risk_is_that_of_a_regression_on_many_samples(activation, ridge):
    d, N = 5, 4
    target, rng = target_of(d), np.random.default_rng(1)
    W = fastlazy.draw_weights(N, d, rng=2)
    X, y = target.sample(400_000, rng=rng)
    slope = (activation if activation is OWN else _BUILTINS[activation]).values(X @ W.T, 1)
    features = (slope[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    features -= features.mean(axis=0)
    b = np.linalg.solve(features.T @ features / len(X) + ridge * np.eye(N * d), features.T @ y / len(X))
    residual = y - y.mean() - features @ b
    error = 4 * np.std(residual**2) / math.sqrt(len(X))
    assert fastlazy.nt_risk(target, W, activation, ridge=ridge) == pytest.approx(np.mean(residual**2), abs=error)


@pytest.mark.parametrize("activation", [OWN, "relu", "softplus", "square"])
def test_risk_of_given_coefficients_is_that_of_many_samples(activation):
    target, W = target_of(5), fastlazy.draw_weights(4, 5, rng=2)
    b = np.random.default_rng(3).standard_normal(W.shape)
    X, y = target.sample(400_000, rng=4)
    slope = (activation if activation is OWN else _BUILTINS[activation]).values(X @ W.T, 1)
    losses = (np.sum((X @ b.T) * slope, axis=1) + 0.3 - y) ** 2
    error = 4 * np.std(losses) / math.sqrt(len(X))
    assert fastlazy.tangent_risk(target, W, b, 0.3, activation) == pytest.approx(np.mean(losses), abs=error)


@pytest.mark.parametrize("name", ["linear", "tanh", "erf", "sin", "he3"])
def test_odd_functions_learn_nothing_of_a_quadratic_target(name):
    target = target_of(30)
    assert fastlazy.nt_risk(target, fastlazy.draw_weights(50, 30, rng=1), name) == target.null_risk


def test_duplicates_zeros_and_the_scale_of_rows_change_nothing():
    target = target_of(12)
    W = fastlazy.draw_weights(10, 12, rng=1)
    once = fastlazy.nt_risk(target, W, "relu")
    more = np.vstack([W, W[:3], np.zeros((2, 12))])
    for weights in (more, 1e-6 * more, 1e3 * more):
        assert fastlazy.nt_risk(target, weights, "relu") == pytest.approx(once, rel=1e-6)
    assert fastlazy.nt_risk(target, np.vstack([W, -W]), "relu") <= once * (1 + 1e-9)
    assert fastlazy.nt_risk(target, np.zeros((3, 12)), "relu") == target.null_risk


def test_risk_without_convergence_warns_and_is_an_upper_bound():
    target = target_of(40)
    W = fastlazy.draw_weights(120, 40, rng=0)
    exact = fastlazy.nt_risk(target, W, "relu")
    for most in (1, 2, 3):
        with pytest.warns(RuntimeWarning, match=f"did not converge in {most} iterations"):
            assert fastlazy.nt_risk(target, W, "relu", max_iterations=most) > exact * (1 + 1e-8)
    loose = fastlazy.nt_risk(target, W, "relu", tolerance=1e-3)
    assert exact < loose < exact * (1 + 1e-3)


def test_preconditioning_spares_nine_of_ten_products(monkeypatch):
    target, W = target_of(60), fastlazy.draw_weights(300, 60, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastlazy.nt_risk(target, W, "relu", max_iterations=5)
    monkeypatch.setattr(nt_solver, "inverse", lambda *_: np.copy)
    with pytest.warns(RuntimeWarning, match="did not converge in 50 iterations"):
        fastlazy.nt_risk(target, W, "relu", max_iterations=50)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["relu", "softplus", "gelu", "cos", "exp"])
@pytest.mark.parametrize(("N", "d"), [(60, 40), (200, 30)])
def test_error_is_within_the_bound(name, N, d):
    target, W = target_of(d), fastlazy.draw_weights(N, d, rng=3)
    exact = fastlazy.nt_risk(target, W, name, tolerance=1e-11)
    for tolerance in (1e-2, 1e-4, 1e-6):
        for ridge in (0.0, 1e-3):
            exact = fastlazy.nt_risk(target, W, name, tolerance=1e-11, ridge=ridge)
            found = fastlazy.nt_risk(target, W, name, tolerance=tolerance, ridge=ridge)
            assert found == pytest.approx(exact, rel=tolerance)


def test_risk_falls_with_more_neurons_and_rf_adds_to_it():
    target = target_of(25)
    W = fastlazy.draw_weights(80, 25, rng=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        risks = [fastlazy.nt_risk(target, W[:N], "relu") for N in (5, 20, 80)]
    assert target.null_risk > risks[0] > risks[1] > risks[2] > 0
    # relu(<w, x>) = <w, x> relu'(<w, x>) is itself a tangent feature, so random features do no better
    assert all(risk <= fastlazy.rf_risk(target, W[:N], "relu") for N, risk in zip((5, 20, 80), risks, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": -1.0}, "tolerance"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"activation": "reluu"}, "activation"),
        ({"activation": "step"}, "jumps"),
    ],
)
def test_bad_options_of_nt_risk(options, message):
    with pytest.raises(ValueError, match=message):
        fastlazy.nt_risk(target_of(4), np.ones((2, 4)), **{"activation": "relu", **options})


def test_needles_in_one_dimension():
    """exp(-x^2), whose slopes have the moments 12 r s (1 + 2 r^2 + 2 s^2)^(-5/2) with G^2, however long the rows."""
    bump = fastlazy.Activation("bump", lambda x: math.exp(-x * x), lambda x: -2 * x * math.exp(-x * x))
    w = np.array([0.3, 1.0, -40.0, 50.0, 1e4, -2e4, 1e6])
    want = 12 * np.outer(w, w) * (1 + 2 * np.add.outer(w**2, w**2)) ** -2.5
    sizes = np.sqrt(np.diag(want))
    got = as_matrix(fastlazy.nt_gram(w[:, None], bump))
    np.testing.assert_allclose(got / np.outer(sizes, sizes), want / np.outer(sizes, sizes), rtol=0, atol=1e-11)


def test_numbers_that_agree_are_held_once():
    W = fastlazy.draw_weights(30, 8, rng=0)
    grams = [
        nt_gram.tangent_gram(nt_gram.tangent_slopes(rows, _BUILTINS[name]), np.dtype(float), True, True)
        for rows, name in ((W, "relu"), (W, "gelu"), (W * np.linspace(1, 2, 30)[:, None], "relu"))
    ]
    assert [gram.blocks.other is gram.blocks.own for gram in grams] == [True, False, True]
