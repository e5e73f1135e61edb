"""Moments of pairs of rows for exp(-x^2), which long rows see as a needle: against closed forms."""

import numpy as np
import pytest

import fastlazy
from fastlazy.activations.mixed_pairs import mixed_moments
from fastlazy.activations.nt_pairs import block_moments
from fastlazy.activations.radial import radial_pairs
from fastlazy.activations.rf_pairs import pair_moments

BUMP = fastlazy.Activation("bump", lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x))


def bump_moments(r, s, theta):
    """E[sigma sigma~], E[u sigma' sigma~], E[sigma v sigma~'] and E[sigma' sigma~'], sigma at r u and sigma~ at s v.

    The density of (u, v) times exp(-r^2 u^2 - s^2 v^2) is Gaussian, of precision M = I + 2 r^2 e e^T + 2 s^2 f f^T.
    """
    e, f, p, q = np.array([1.0, 0.0]), np.array([np.cos(theta), np.sin(theta)]), 2 * r * r, 2 * s * s
    det = 1 + p + q + p * q * np.sin(theta) ** 2
    inverse = np.array([[1 + q * f[1] ** 2, -q * f[0] * f[1]], [-q * f[0] * f[1], 1 + p + q * f[0] ** 2]]) / det
    whole = det**-0.5
    uu, vv, uv = e @ inverse @ e, f @ inverse @ f, e @ inverse @ f
    return whole * np.array([1.0, -2 * r * uu, -2 * s * vv, 4 * r * s * uv])


def norms(r):
    """The norms of sigma(r u) and sigma'(r u)."""
    spread = 1 + 4 * r * r
    return spread**-0.25, 2 * r * spread**-0.75


@pytest.mark.sampled(7)
@pytest.mark.parametrize("theta", [1e-6, 1e-2, 0.3, 3.1])
@pytest.mark.parametrize(("r", "s"), [(1.0, 1.0), (30.0, 40.0), (1e3, 1.0), (1e5, 1e5), (1e5, 0.1)])
def test_moments_of_a_needle(r, s, theta):
    values, along, across, slopes = bump_moments(r, s, theta)
    pair = [np.array([number]) for number in (r, s, theta)]
    (size, slope), (other, bent) = norms(r), norms(s)
    assert pair_moments(BUMP, *pair)[0] == pytest.approx(values, abs=1e-12 * size * other)
    assert block_moments(BUMP, *pair)[0][0] == pytest.approx(slopes, abs=1e-12 * slope * bent)
    sizes = np.array([size * other, slope * other, size * bent, slope * bent])
    wanted = np.array([values, along, across, slopes])
    np.testing.assert_allclose(radial_pairs(BUMP, *pair)[:, 0] / sizes, wanted / sizes, rtol=0, atol=1e-12)
    p, q = mixed_moments(BUMP, *pair)[:, 0]
    assert p == pytest.approx(r * slopes, abs=1e-12 * r * slope * bent)
    assert q == pytest.approx(across - r * slopes * np.cos(theta), abs=1e-12 * r * slope * bent)
