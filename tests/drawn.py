"""Targets and covariances that the tests of predictions share."""

import numpy as np
import pytest

from fastlazy.targets.quadratic import QuadraticTarget


def published_target():
    return QuadraticTarget(np.random.RandomState(100).exponential(1, 450))


def printed(value):
    """To four decimals, without the leading zero."""
    return f"{value:.4f}"[1:]


def drawn_target(d, seed=0):
    """A full B with a trace, so that m is neither 0 nor 1."""
    B = np.random.default_rng([d, seed]).standard_normal((d, d))
    return QuadraticTarget((B + B.T) / 2 + np.eye(d), b0=0.3)


def drawn_covs(d):
    factor = np.random.default_rng(d).standard_normal((d, 2 * d))
    low_rank = factor[:, : d // 2]
    return {
        "isotropic": None,
        "diagonal": np.linspace(0.1, 2.0, d),
        "full": factor @ factor.T,
        "two values": np.where(np.arange(d) < d // 3, 3.0, 0.5),
        "singular diagonal": np.where(np.arange(d) < d // 3, 0.0, np.linspace(0.5, 2, d)),
        "singular full": low_rank @ low_rank.T,
    }


COVS = pytest.mark.parametrize("kind", drawn_covs(6))


def matrix(cov, d):
    return np.eye(d) / d if cov is None else np.diag(cov) if np.ndim(cov) == 1 else cov
