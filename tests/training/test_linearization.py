"""Networks as functions, their linearisation, what is captured of B, and the gap."""

import naive
import naive_lazy
import numpy as np
import pytest

import fastlazy

RNG = np.random.default_rng(0)
D, N = 5, 3
W0, MOVE = RNG.standard_normal((N, D)), 0.3 * RNG.standard_normal((N, D))
A0, A_MOVE = np.array([1.0, -0.5, 2.0]), np.array([0.2, 0.1, -0.3])
W, A, C0, C = W0 + MOVE, A0 + A_MOVE, 0.3, 0.7
A_MATRIX = RNG.standard_normal((D, D))
TARGET = fastlazy.QuadraticTarget(A_MATRIX + A_MATRIX.T, b0=0.4)


def functions():
    """Pairs of functions, exact distance known to `population_distance`, and both on samples by the plainest means."""
    model = fastlazy.linearize(W0, A0, C0)

    def f(X):
        return naive_lazy.network(W, A, X) + C

    def rf(X):
        return naive_lazy.network(W0, A - A0, X) + C - C0

    def nt(X):
        return sum(2 * a * (X @ (w - v)) * (X @ v) for a, w, v in zip(A0, W, W0, strict=True))

    def start(X):
        return naive_lazy.network(W0, A0, X) + C0

    network, none = fastlazy.network_function(W, A, C), fastlazy.QuadraticTarget(np.zeros(D))
    return {
        "network and linearisation": (network, model.both(W, A, C), f, lambda X: start(X) + rf(X) + nt(X)),
        "two networks": (network, model.start, f, start),
        "network and target": (network, TARGET, f, lambda X: np.einsum("ij,jk,ik->i", X, TARGET.B, X) + 0.4),
        "RF part": (model.rf(A, C), none, rf, lambda X: 0.0),
        "NT part": (model.nt(W), none, nt, lambda X: 0.0),
    }


@pytest.mark.parametrize("name", functions())
def test_distances_agree_with_a_million_samples(name):
    f, g, plain_f, plain_g = functions()[name]
    X = np.random.default_rng(1).standard_normal((1_000_000, D))
    squares = (plain_f(X) - plain_g(X)) ** 2
    exact = fastlazy.population_distance(f, g)
    assert exact > 0
    assert abs(squares.mean() - exact) < 3 * squares.std() / 1000
    assert exact == fastlazy.population_distance(g, f)
    np.testing.assert_allclose(f(X[:9]), plain_f(X[:9]), rtol=1e-12)
    np.testing.assert_allclose(g(X[:9]), plain_g(X[:9]), rtol=1e-12)


def test_distance_to_the_target_is_the_risk():
    f = fastlazy.network_function(W, A, C)
    assert fastlazy.population_distance(f, TARGET) == pytest.approx(fastlazy.network_risk(TARGET, W, A, C), rel=1e-13)
    assert fastlazy.population_distance(f, f) == 0


def test_the_linearisation_is_the_derivative():
    model, h = fastlazy.linearize(W0, A0, C0), 1e-5
    X = RNG.standard_normal((7, D))
    ends = [fastlazy.network_function(W0 + s * MOVE, A0 + s * A_MOVE, C0 + s * 0.4)(X) for s in (h, -h)]
    slope = (ends[0] - ends[1]) / (2 * h)
    np.testing.assert_allclose(model.rf(A, C)(X) + model.nt(W)(X), slope, rtol=1e-8)
    rf_only = [fastlazy.network_function(W0, A0 + s * A_MOVE, C0 + s * 0.4)(X) for s in (h, -h)]
    np.testing.assert_allclose(model.rf(A, C)(X), (rf_only[0] - rf_only[1]) / (2 * h), rtol=1e-8)


def test_the_linearisation_error_is_of_second_order():
    model = fastlazy.linearize(W0, A0, C0)
    assert fastlazy.population_distance(model.both(W0, A0, C0), model.start) == 0
    errors = [
        fastlazy.population_distance(
            model.both(W0 + h * MOVE, A0 + h * A_MOVE), fastlazy.network_function(W0 + h * MOVE, A0 + h * A_MOVE)
        )
        for h in (1e-2, 1e-3)
    ]
    assert errors[0] / errors[1] == pytest.approx(1e4, rel=0.01)


def test_a_linearisation_keeps_its_own_copy():
    weights = W0.copy()
    model = fastlazy.linearize(weights)
    weights[:] = 0
    np.testing.assert_array_equal(model.W, W0)
    np.testing.assert_array_equal(model.a, 1.0)
    with pytest.raises(ValueError, match="read-only"):
        model.W[0] = 1


@pytest.mark.parametrize("n", [2, 4, 7, 40])
def test_best_functions_have_the_risks_of_their_regimes(n):
    rows = np.random.default_rng(n).standard_normal((n, D))
    rf, nt = fastlazy.rf_function(TARGET, rows), fastlazy.nt_function(TARGET, rows)
    for f, risk, forms in ((rf, fastlazy.rf_risk, naive.rf_forms), (nt, fastlazy.nt_risk, naive.nt_forms)):
        distance = fastlazy.population_distance(f, TARGET)
        assert distance == pytest.approx(risk(TARGET, rows), rel=1e-9, abs=1e-12)
        assert distance == pytest.approx(naive.best_risk(forms(rows), TARGET.B), rel=1e-9, abs=1e-12)
    P = np.eye(D) - np.linalg.pinv(rows) @ rows
    np.testing.assert_allclose(P @ nt.B @ P, 0, atol=1e-12)  # within reach of NT


def test_captured_share():
    f = fastlazy.network_function(W, A)
    np.testing.assert_allclose(fastlazy.captured_share(TARGET, f), naive_lazy.captured(f.B, TARGET.B), rtol=1e-10)
    np.testing.assert_allclose(fastlazy.captured_share(TARGET, TARGET), 1.0, rtol=1e-12)
    flat = fastlazy.QuadraticTarget([0.0, 3.0, -1.0])
    ones = fastlazy.QuadraticTarget(np.eye(3))
    np.testing.assert_allclose(fastlazy.captured_share(flat, ones), [1 / 3, 0, -1])


@pytest.mark.parametrize("n", [1, 5, 11, 12, 30, 77, 78, 100])
def test_shares_add_up_to_the_predicted_risks(n):
    """The risk of a projection is 2 sum_j lambda_j^2 (1 - share_j)."""
    target = fastlazy.exponential_target(12, rng=1)
    squares = 2 * target.eigenvalues**2

    def left(shares):
        return pytest.approx(float(np.sum(squares * (1 - shares))), rel=1e-10, abs=1e-10)

    assert fastlazy.nt_risk_limit(target, n) == left(fastlazy.nt_captured_limit(target, n))
    assert fastlazy.nt_risk_limit(target, n, refined=True) == left(fastlazy.nt_captured_limit(target, n, refined=True))
    assert fastlazy.rf_risk_limit(target, n, refined=True) == left(fastlazy.rf_captured_limit(target, n))


def test_captured_limits_are_the_means_of_draws():
    target = fastlazy.QuadraticTarget([4.0, 3.0, 2.0, 1.0, 1.0, 0.5, -1.0, 0.2])
    for n in (2, 5):
        draws = [fastlazy.draw_weights(n, 8, rng=k) for k in range(1500)]
        shares = np.array([fastlazy.captured_share(target, fastlazy.nt_function(target, rows)) for rows in draws])
        error = shares.std(axis=0) / np.sqrt(len(draws))
        assert np.all(np.abs(shares.mean(axis=0) - fastlazy.nt_captured_limit(target, n, refined=True)) < 3.5 * error)
    large = fastlazy.exponential_target(60, rng=0)
    draws = [fastlazy.draw_weights(40, 60, rng=k) for k in range(40)]
    shares = np.array([fastlazy.captured_share(large, fastlazy.rf_function(large, rows)) for rows in draws])
    error = shares.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(shares.mean(axis=0) - fastlazy.rf_captured_limit(large, 40)) < 4 * error)


def test_nt_law_as_it_is_written():
    target = fastlazy.exponential_target(450, rng=0)
    rho, eigenvalues = 100 / 450, target.eigenvalues
    law = 1 - (1 - rho) ** 2 - rho * (1 - rho) * eigenvalues.sum() / (450 * eigenvalues)
    np.testing.assert_allclose(fastlazy.nt_captured_limit(target, 100), law, rtol=1e-12, atol=1e-12)
    top = slice(0, 60)
    np.testing.assert_allclose(fastlazy.nt_captured_limit(target, 100, refined=True)[top], law[top], atol=0.002)


@pytest.mark.parametrize("a", [[1.0, 1.0], [1.0, -1.0], [2.0, 0.0], [-1.0, -3.0]])
@pytest.mark.parametrize("scale", [0.0, 0.1, 3.0])
def test_lazy_risk_is_the_best_of_its_signs(a, scale):
    rows = RNG.standard_normal((2, D))
    T = TARGET.B + scale * naive_lazy.form(rows, a)
    expected = naive_lazy.best_of_signs(T, np.sum(np.array(a) > 0), np.sum(np.array(a) < 0))
    assert fastlazy.lazy_risk(TARGET, rows, a, scale=scale) == pytest.approx(expected, rel=1e-12)


def test_lazy_risk_goes_from_nn_to_nt():
    target = fastlazy.exponential_target(30, rng=0)
    rows = fastlazy.draw_weights(12, 30, rng=0)
    risks = [fastlazy.lazy_risk(target, rows, scale=scale) for scale in (1e-9, 0.01, 0.1, 1, 10, 1e3, 1e8)]
    assert risks[0] == pytest.approx(fastlazy.nn_risk(target, 12), rel=1e-6)
    assert risks[-1] == pytest.approx(fastlazy.nt_risk(target, rows), rel=1e-6)
    assert np.all(np.diff(risks) > 0)


@pytest.mark.parametrize(
    ("d", "n", "ratio"), [(2, 1, 1.0), (20, 3, 1000.0), (20, 19, 10.0), (60, 30, 1e12), (20, 3, 1e200)]
)
def test_the_gap_is_there_for_every_draw(d, n, ratio):
    target = fastlazy.gap_target(d, n, ratio)
    assert target.eigenvalues.min() > 0
    assert target.mean == pytest.approx(0, abs=1e-12)
    nn = fastlazy.nn_risk(target, n)
    assert nn == pytest.approx(2 * (d - n) * target.eigenvalues[-1] ** 2)
    for k in range(150):
        rows = fastlazy.draw_weights(n, d, rng=k)
        nt = fastlazy.nt_risk(target, rows)
        assert nt >= ratio * nn
        left_out = 1 - (np.linalg.pinv(rows) @ rows)[0, 0]  # |P u|^2
        assert nt >= 2 * left_out**2 * (1 - 1e-9)  # the step of the proof


def test_the_gap_asked_for_at_full_size():
    target = fastlazy.gap_target(450, 45, 1000.0)
    nn = fastlazy.nn_risk(target, 45)
    for k in range(5):
        assert 1000 <= fastlazy.nt_risk(target, fastlazy.draw_weights(45, 450, rng=k)) / nn < 2000
    assert 1000 <= fastlazy.nt_risk_limit(target, 45, refined=True) / nn < 2000


def test_the_law_in_the_proof():
    """|P u|^2 is Beta(k/2, N/2): its quantile sets the smaller eigenvalues."""
    d, n, draws = 6, 2, 20_000
    u = np.random.default_rng(0).standard_normal((draws, d))
    lengths = np.sort(np.sum(u[:, n:] ** 2, axis=1) / np.sum(u**2, axis=1))
    # k = 4, N = 2: P(|P u|^2 < q) = q^2
    assert lengths[draws // 4] == pytest.approx(0.5, abs=0.02)
    eps = fastlazy.gap_target(d, n, 1.0).eigenvalues[-1]
    assert eps * np.sqrt(d - n) == pytest.approx(1e-3, rel=1e-9)  # the quantile at 1e-6


BAD = {
    "columns": (
        lambda: fastlazy.linearize(W0).nt(np.ones((N, 4))),
        "W has rows of length 4 .* the initialisation has d",
    ),
    "rows": (lambda: fastlazy.linearize(W0).nt(np.ones((2, D))), "W has 2 rows, but the initialisation has 3"),
    "second layer": (lambda: fastlazy.network_function(W0, [1.0]), "a has 1 entries, but W has 3 rows"),
    "dimension": (
        lambda: fastlazy.population_distance(TARGET, fastlazy.network_function(np.eye(2))),
        "f has d = 5, but g has d = 2",
    ),
    "share": (
        lambda: fastlazy.captured_share(TARGET, fastlazy.network_function(np.eye(2))),
        "f has d = 2, but the target has d = 5",
    ),
    "NaN": (lambda: fastlazy.linearize([[np.nan]]), "W must be finite"),
    "scale": (lambda: fastlazy.lazy_risk(TARGET, W0, scale=-1.0), "scale must be a finite number at least 0"),
    "gap of d": (lambda: fastlazy.gap_target(5, 5, 10.0), "N must be less than d = 5, got 5"),
    "gap of one": (lambda: fastlazy.gap_target(1, 1, 10.0), "d must be at least 2"),
    "ratio": (lambda: fastlazy.gap_target(5, 2, 0.5), "ratio must be a finite number at least 1"),
    "huge ratio": (lambda: fastlazy.gap_target(5, 2, 1e201), "ratio must be at most 1e200"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
