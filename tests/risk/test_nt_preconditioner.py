"""The preconditioner of the tangent model is the inverse of the operator that it says it is."""

import math

import numpy as np
import pytest

import fastlazy
from fastlazy.kernels.nt_gram import rotate, tangent_gram, tangent_slopes
from fastlazy.risk.nt_preconditioner import inverse, model_of


def written_out(unit, g, squares, along, ridge):
    """M = D + F_1^T F_1 + 2 F_2^T F_2 entry by entry, from the images of single coefficients."""
    N, d = unit.shape
    low, noise = [], np.zeros((N * d, N * d))
    for i, u in enumerate(unit):
        g_0, g_1, g_2, g_3 = g[i, :4]
        c = squares[i] - g_0**2 - g_1**2 + ridge
        e = along[i] - g_1**2 - (g_0 + math.sqrt(2) * g_2) ** 2 - 2 * (g_1 + math.sqrt(1.5) * g_3) ** 2 + ridge
        noise[i * d : (i + 1) * d, i * d : (i + 1) * d] = c * np.eye(d) + (e - c) * np.outer(u, u)
        for b in np.eye(d):
            form = g_1 * (np.outer(u, b) + np.outer(b, u)) / 2 + math.sqrt(1.5) * g_3 * (u @ b) * np.outer(u, u)
            line = g_0 * b + math.sqrt(2) * g_2 * (u @ b) * u
            low.append(np.append(line, math.sqrt(2) * form.ravel()))
    low = np.array(low)
    return noise + low @ low.T


@pytest.mark.parametrize("shift", [0.0, 0.5], ids=["centred", "with a mean"])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("activation", ["relu", "gelu", "exp"])
def test_it_inverts_its_operator(activation, ridge, shift):
    W = np.random.default_rng(0).standard_normal((12, 7)) / 3 + shift / 3
    slopes = tangent_slopes(W, fastlazy.get_activation(activation))
    gram = tangent_gram(slopes, np.dtype(float), True, True)
    model = model_of(gram, ridge)
    assert not model.clusters.rows
    undo = inverse(model, rotate(gram, model.basis))
    M = written_out(slopes.unit, slopes.g, slopes.squares, slopes.along, ridge)
    b = np.random.default_rng(1).standard_normal(W.shape)
    image = (M @ b.ravel()).reshape(b.shape)
    np.testing.assert_allclose(undo(image @ model.basis) @ model.basis.T, b, atol=1e-6)


def test_it_is_symmetric_and_positive_with_rows_that_nearly_agree():
    W = np.random.default_rng(0).standard_normal((10, 6))
    W = np.vstack([W, W[:4] + 1e-3])
    gram = tangent_gram(tangent_slopes(W, fastlazy.get_activation("relu")), np.dtype(float), True, True)
    model = model_of(gram, 0.0)
    assert len(model.clusters.rows) == 4
    undo = inverse(model, rotate(gram, model.basis))
    whole = np.stack([undo(e.reshape(W.shape)).ravel() for e in np.eye(W.size)])
    np.testing.assert_allclose(whole, whole.T, atol=1e-7 * np.abs(whole).max())
    assert np.linalg.eigvalsh((whole + whole.T) / 2)[0] > 0


@pytest.mark.slow
def test_few_products_whatever_the_rows():
    """Numbers of iterations that sufficed once, with some to spare; noise across rows only took 21 to 63."""
    target, rows = fastlazy.exponential_target(100, rng=0), np.random.default_rng(0).standard_normal((1000, 100)) / 10
    for W, activation, most in (
        (rows, "relu", 6),
        (rows, "gelu", 9),
        (rows + 0.1, "relu", 16),
        (3 * rows * np.geomspace(0.03, 1, 100), "relu", 12),
    ):
        fastlazy.nt_risk(target, W, activation, max_iterations=most)  # a warning is an error
