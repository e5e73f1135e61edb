"""Hand-written gradients against those of PyTorch, where the benchmarks' environment has it."""

import naive_flow
import numpy as np
import pytest

import fastlazy
from fastlazy.risk.gradient import population_gradient
from fastlazy.training import epochs

torch = pytest.importorskip("torch")

FUNCTIONS = {
    "square": torch.square,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "softplus": torch.nn.functional.softplus,
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "cos": torch.cos,
}


def gradients(loss, *arrays):
    """The derivatives of a loss, which is given tensors, in all arrays."""
    tensors = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]
    loss(*tensors).backward()
    return [tensor.grad.numpy() for tensor in tensors]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_step_of_sgd(name):
    """One minibatch of 7 samples, with a trained second layer and offset."""
    N, d, m, rng = 5, 6, 7, np.random.default_rng(0)
    X, y = rng.standard_normal((m, d)), rng.standard_normal(m)
    W, a, c = rng.standard_normal((N, d)) / 2, rng.standard_normal(N), 0.3
    x, t = torch.tensor(X), torch.tensor(y)
    in_W, in_a, in_c = gradients(lambda W, a, c: torch.mean((FUNCTIONS[name](x @ W.T) @ a + c - t) ** 2), W, a, c)
    rates, sigma = np.array([1e-2, 2e-2, 3e-2]), fastlazy.get_activation(name)
    with epochs.training(X, y, epochs.State(W, a, 1.0, c), "free", m, activation=sigma) as run:
        run.epoch(np.arange(m), rates)
        state = run.state()
    np.testing.assert_allclose(state.W, W - rates[0] * in_W, rtol=0, atol=1e-14)
    np.testing.assert_allclose(state.gain * state.a, a - rates[1] * in_a, rtol=0, atol=1e-14)
    assert state.c == pytest.approx(c - rates[2] * float(in_c), abs=1e-14)


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"relu"}))
def test_the_population_gradient(name):
    """The risk in two dimensions is a sum over a grid, which is exact for smooth functions."""
    rng, B, b0 = np.random.default_rng(1), np.array([[0.5, 0.2], [0.2, 0.7]]), 0.1
    W, a, c = rng.standard_normal((3, 2)) / 2, rng.standard_normal(3), 0.2
    X, weight = naive_flow.plane()
    x, t, weights = (torch.tensor(part) for part in (X, np.einsum("ni,ij,nj->n", X, B, X) + b0, weight))
    in_W, in_a, in_c = gradients(lambda W, a, c: weights @ (FUNCTIONS[name](x @ W.T) @ a + c - t) ** 2, W, a, c)
    found = population_gradient(fastlazy.QuadraticTarget(B, b0), W, a, c, fastlazy.get_activation(name))
    np.testing.assert_allclose(found.W, in_W, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.a, in_a, rtol=0, atol=1e-10)
    assert found.c == pytest.approx(float(in_c), abs=1e-10)
