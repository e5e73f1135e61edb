"""Mixtures that tests of their risks share, and the moments of sigma that their slow twins take."""

import naive
import naive_mixture
import naive_moments
import numpy as np

from fastlazy.targets.mixture import GaussianMixture

SIGMAS = {
    "square": (np.square, lambda x: 2 * x),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "softplus": (lambda x: np.logaddexp(0, x), lambda x: 1 / (1 + np.exp(-x))),
}


def drawn_covariances(d, seed=0):
    """Dense Sigma and Delta (d, d), such that both classes have full rank; Delta has both signs."""
    rng = np.random.default_rng([d, seed, 7])
    A, basis = rng.standard_normal((2, d, d))
    A = A / np.sqrt(d) + np.eye(d)
    delta = np.linspace(-0.7, 0.95, d)
    Q = np.linalg.qr(basis)[0]
    Delta = A @ (Q * delta) @ Q.T @ A.T
    Sigma = A @ A.T
    return (Sigma + Sigma.T) / 2, (Delta + Delta.T) / 2


def drawn_mixture(d, seed=0):
    return GaussianMixture(*drawn_covariances(d, seed))


def naive_moments_of(name, Sigma, Delta, W, *, tangent=False):
    """Means and covariances of the features in both classes, by the slow twins."""
    if name == "square":
        forms = naive.nt_forms(W) if tangent else naive.rf_forms(W)
        return [naive_mixture.form_moments(C, forms) for C in (Sigma - Delta, Sigma + Delta)]
    function = SIGMAS[name][int(tangent)]

    def mean(r, p):
        return naive_moments.line(function, r, powers=(p,))[0]

    def pair(r, s, cosine, powers):
        return naive_moments.plane(function, r, s, cosine, powers=powers)

    moments = naive_mixture.nt_moments if tangent else naive_mixture.rf_moments
    return [moments(C, W, mean, pair) for C in (Sigma - Delta, Sigma + Delta)]
