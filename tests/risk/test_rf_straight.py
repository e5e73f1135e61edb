"""Random features of which some are straight: they learn nothing, but take out the linear parts of others."""

import numpy as np
import pytest

import fastlazy
from tests import naive_moments

BENT = fastlazy.Activation("bent", lambda x: x + max(x - 8.0, 0.0))
W = np.array([[0.87, 2.9], [0.84, -2.78], [-1.92, 0.34], [-0.03, 0.59]])  # the last row sees no bend
TARGET = fastlazy.QuadraticTarget([[0.37, 0.13], [0.13, -0.94]])


def moments():
    """U and V by integrals over the plane."""

    def bent(x):
        return x + np.maximum(x - 8, 0)

    r = np.linalg.norm(W, axis=1)
    cosines = W @ W.T / np.outer(r, r)
    h = np.array([naive_moments.line(bent, x, (8.0,), (0, 2)) for x in r])
    plane = [[naive_moments.plane(bent, r[i], r[j], cosines[i, j], (8.0,))[0] for j in range(i)] for i in range(len(r))]
    U = np.diag([naive_moments.line(lambda x: bent(x) ** 2, x, (8.0,), (0,))[0] for x in r])
    for i, row in enumerate(plane):
        U[i, :i] = U[:i, i] = row
    return U - np.outer(h[:, 0], h[:, 0]), np.einsum("ij,jk,ik->i", W, TARGET.B, W) * (h[:, 1] - h[:, 0]) / r**2


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.3])
def test_the_risk_is_that_of_the_normal_equations(ridge):
    U, V = moments()
    a = np.linalg.solve(U + ridge * np.eye(4), V)
    risk = TARGET.null_risk - 2 * a @ V + a @ U @ a
    assert fastlazy.rf_risk(TARGET, W, BENT, ridge=ridge) == pytest.approx(risk, rel=1e-8)


def test_a_straight_feature_helps():
    """Without it the linear parts of three features in two dimensions are in the way."""
    alone = fastlazy.rf_risk(TARGET, W[:3], BENT)
    assert fastlazy.rf_risk(TARGET, W, BENT) < alone - 1e-4 * TARGET.null_risk
    assert fastlazy.rf_risk(TARGET, W * [[1], [1], [1], [1e-3]], BENT) == pytest.approx(
        fastlazy.rf_risk(TARGET, W, BENT), rel=1e-10
    )
