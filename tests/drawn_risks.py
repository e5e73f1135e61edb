"""Targets and weights that the tests of exact risks share."""

import naive
import numpy as np
import pytest

from fastlazy.risk.nt import nt_risk
from fastlazy.risk.rf import rf_risk
from fastlazy.targets.quadratic import QuadraticTarget

FORMS = {rf_risk: naive.rf_forms, nt_risk: naive.nt_forms}


LAZY = pytest.mark.parametrize("risk", FORMS, ids=["RF", "NT"])


def drawn_target(d, seed=0, *, definite=False):
    rng = np.random.default_rng([d, seed])
    B = rng.standard_normal((d, d))
    return QuadraticTarget(B @ B.T if definite else B + B.T, b0=rng.standard_normal())


def drawn_weights(N, d, seed=0):
    return np.random.default_rng([N, d, seed]).standard_normal((N, d))
