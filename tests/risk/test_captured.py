"""What RF and NT capture of each eigendirection for another sigma than x^2: beside risks, and the mean of draws."""

import math

import naive_lazy
import numpy as np
import pytest

import fastlazy

D = 10
TARGET = fastlazy.QuadraticTarget([4.0, 3.0, 2.0, 1.5, 1.0, 1.0, 0.5, 0.3, 0.2, -1.0])


def limits(regime, N, activation, target=TARGET):
    """The predicted shares (d,), and the risk."""
    risk = getattr(fastlazy, f"{regime}_risk_limit")(target, N, activation, refined=True)
    finite = {"refined": True} if regime == "nt" else {}
    return getattr(fastlazy, f"{regime}_captured_limit")(target, N, activation, **finite), risk


@pytest.mark.parametrize("activation", ["square", "he2", "relu", "gelu", "tanh"])
@pytest.mark.parametrize(("regime", "N"), [("rf", 7), ("rf", 80), ("nt", 4), ("nt", 25)])
def test_shares_add_up_to_the_predicted_risk(regime, N, activation):
    shares, risk = limits(regime, N, activation)
    assert 2 * np.sum(TARGET.eigenvalues**2 * (1 - shares)) == pytest.approx(risk, rel=1e-10, abs=1e-10)


def test_the_limit_of_nt_is_asked_for_without_refined():
    target = fastlazy.exponential_target(D, rng=0)
    left = 2 * np.sum(target.eigenvalues**2 * (1 - fastlazy.nt_captured_limit(target, 6, "relu")))
    assert left == pytest.approx(fastlazy.nt_risk_limit(target, 6, "relu"), rel=1e-10)


@pytest.mark.parametrize("regime", ["rf", "nt"])
def test_one_dimension_has_a_trace_alone(regime):
    line = fastlazy.QuadraticTarget([3.0])
    shares, risk = limits(regime, 2, "relu", line)
    assert shares == pytest.approx(1 - risk / line.null_risk, rel=1e-12)


@pytest.mark.parametrize(("regime", "N", "draws", "bias"), [("rf", 40, 60, 0.03), ("nt", 6, 20, 0.1)], ids=["rf", "nt"])
def test_shares_are_those_of_drawn_relu_features(regime, N, draws, bias):
    """Of the projections themselves; *bias* is 1 / d of the null risk for NT, and 3 % of the risk for RF."""
    values = TARGET.eigenvalues
    best = getattr(naive_lazy, f"best_{regime}_of_relu")
    found = []
    for k in range(draws):
        W = fastlazy.draw_weights(N, D, rng=k)
        gram = fastlazy.rf_gram(W, "relu", center=True) if regime == "rf" else _dense(W)
        S = best(W, gram, np.diag(values))
        found.append(np.diag(S) / values)
    risk = getattr(fastlazy, f"{regime}_risk")(TARGET, W, "relu")
    assert 2 * np.sum(values**2 * (1 - found[-1])) == pytest.approx(risk, rel=1e-6)
    shares, _ = limits(regime, N, "relu")
    error = np.std(found, axis=0) / math.sqrt(draws)
    large = np.abs(values) >= 1
    assert np.all(np.abs(np.mean(found, axis=0) - shares)[large] < 4 * error[large] + bias / 2)
    assert shares[0] > 0.1


def _dense(W):
    return fastlazy.nt_gram(W, "relu", center=True) @ np.eye(W.size)
