"""The same SGD in NumPy, PyTorch and JAX, each as its best user would write it.

All draw their samples inside the timed loop, at least 128 at a time: for single samples the calls would cost more
than the numbers. All update W in place. Each class offers `run(steps)`, a multiple of `chunk`, and `after(batches)`,
which takes the same steps, in the same code, on samples that are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.side_by_side.sgd_problem import Problem


class _Peer:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.chunk = max(1, 128 // problem.b)
        self.shape = (self.chunk, problem.b, problem.d)
        eta_W, self.eta_a, eta_c = problem.rates
        self.square, self.relu = (problem.activation == name for name in ("square", "relu"))
        self.rate_W, self.rate_c = (4 if self.square else 2) * eta_W / problem.b, 2 * eta_c
        self.b0 = problem.b0


class NumpySgd(_Peer):
    """NumPy, all results in room kept for them; "blas": SciPy's BLAS adds the update to W without a temporary."""

    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        super().__init__(problem)
        from scipy.linalg import blas

        self.blas, self.variant = blas, variant
        self.W, _, self.c = problem.start()
        self.beta = problem.beta.astype(problem.dtype)
        self.rng = np.random.Generator(np.random.SFC64(0))
        self.X, self.X2 = np.empty(self.shape, problem.dtype), np.empty(self.shape, problem.dtype)
        self.Z, self.H = (np.empty((problem.b, problem.N), problem.dtype) for _ in range(2))
        self.update = np.empty_like(self.W)

    def run(self, steps: int) -> None:
        for _ in range(steps // self.chunk):
            self.draw()
            self.step_each()

    def after(self, batches: np.ndarray) -> np.ndarray:
        for start in range(0, len(batches), self.chunk):
            self.X[:] = batches[start : start + self.chunk]
            self.step_each()
        return self.W

    def draw(self) -> None:
        """Fill X with samples."""
        self.rng.standard_normal(out=self.X, dtype=self.X.dtype)

    def tanh(self, x: np.ndarray, out: np.ndarray) -> None:
        """Its hyperbolic tangent, into *out*."""
        np.tanh(x, out=out)

    def step_each(self) -> None:
        np.multiply(self.X, self.X, out=self.X2)
        y = np.matmul(self.X2, self.beta) + self.b0
        step = self.step_matmul if self.variant == "matmul" else self.step_blas
        for k in range(self.chunk):
            step(self.X[k], y[k])

    def step_matmul(self, X: np.ndarray, y: np.ndarray) -> None:
        np.matmul(X, self.W.T, out=self.Z)
        self.scale_products(y)
        np.matmul(self.Z.T, X, out=self.update)
        np.subtract(self.W, self.update, out=self.W)

    def step_blas(self, X: np.ndarray, y: np.ndarray) -> None:
        W, Z = self.W.T, self.Z  # BLAS wants columns side by side: everything is its own transpose
        if len(X) == 1:
            self.blas.sgemv(1, W, X[0], beta=0, y=Z[0], trans=1, overwrite_y=1)
            self.scale_products(y)
            self.blas.sger(-1, X[0], Z[0], a=W, overwrite_a=1)
        else:
            self.blas.sgemm(1, W, X.T, beta=0, c=Z.T, trans_a=1, overwrite_c=1)
            self.scale_products(y)
            self.blas.sgemm(-1, X.T, Z.T, beta=1, c=W, trans_b=1, overwrite_c=1)

    def scale_products(self, y: np.ndarray) -> None:
        e = np.vecdot(self.Z, self.Z) if self.square else self.apply_sigma()
        e += self.c
        e -= y
        self.c -= self.rate_c * float(e.mean())
        e *= self.rate_W
        np.multiply(self.Z, e[:, None], out=self.Z)

    def apply_sigma(self) -> np.ndarray:
        """Sums of sigma(Z) (b,); sigma'(Z) takes the place of Z."""
        if self.relu:
            np.maximum(self.Z, 0, out=self.H)
            np.greater(self.Z, 0, out=self.Z, casting="unsafe")
        else:
            self.tanh(self.Z, out=self.H)
            np.multiply(self.H, self.H, out=self.Z)
            np.subtract(1, self.Z, out=self.Z)
        return self.H.sum(axis=1)


class TorchSgd(_Peer):
    """PyTorch; "by hand": the gradient written out, in place; "autograd": the loss, its backward pass, a step."""

    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        super().__init__(problem)
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        W, _, c = problem.start()
        self.by_hand = variant == "by hand"
        self.W = torch.tensor(W, requires_grad=not self.by_hand)
        self.c = torch.tensor(c, dtype=self.W.dtype, requires_grad=not self.by_hand)
        self.beta = torch.tensor(problem.beta, dtype=self.W.dtype)
        self.X, self.X2 = torch.empty(self.shape), torch.empty(self.shape)
        self.Z, self.Z2 = torch.empty(problem.b, problem.N), torch.empty(problem.b, problem.N)

    def run(self, steps: int) -> None:
        with self.torch.inference_mode(self.by_hand):
            for _ in range(steps // self.chunk):
                self.torch.randn(self.shape, out=self.X)
                self.step_each()

    def after(self, batches: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode(self.by_hand):
            for start in range(0, len(batches), self.chunk):
                self.X.copy_(self.torch.from_numpy(batches[start : start + self.chunk]))
                self.step_each()
            return self.W.detach().numpy()

    def step_each(self) -> None:
        with self.torch.no_grad():
            self.torch.mul(self.X, self.X, out=self.X2)
            y = self.torch.matmul(self.X2, self.beta) + self.b0
        step = self.step_by_hand if self.by_hand else self.step_autograd
        for k in range(self.chunk):
            step(self.X[k], y[k])

    def step_by_hand(self, X: Any, y: Any) -> None:
        if len(X) == 1:
            x, z = X[0], self.Z[0]
            self.torch.mv(self.W, x, out=z)
            f = self.torch.dot(z, z) if self.square else self.apply_sigma()[0]
            e = f + self.c - y[0]
            self.c -= self.rate_c * e
            self.W.addr_(z.mul_(self.rate_W * e), x, alpha=-1)
        else:
            self.torch.mm(X, self.W.t(), out=self.Z)
            f = self.torch.mul(self.Z, self.Z, out=self.Z2).sum(1) if self.square else self.apply_sigma()
            e = f + self.c - y
            self.c -= self.rate_c * e.mean()
            self.Z.mul_((self.rate_W * e).unsqueeze(1))
            self.W.addmm_(self.Z.t(), X, alpha=-1)

    def apply_sigma(self) -> Any:
        """Sums of sigma(Z) (b,); sigma'(Z) takes the place of Z."""
        if self.relu:
            self.torch.clamp(self.Z, min=0, out=self.Z2)
            self.torch.gt(self.Z, 0, out=self.Z)
        else:
            self.torch.tanh(self.Z, out=self.Z2)
            self.torch.mul(self.Z2, self.Z2, out=self.Z)
            self.Z.neg_().add_(1)
        return self.Z2.sum(1)

    def step_autograd(self, X: Any, y: Any) -> None:
        sigma = self.torch.square if self.square else self.torch.relu if self.relu else self.torch.tanh
        e = sigma(X @ self.W.t()).sum(1) + self.c - y
        gradients = self.torch.autograd.grad(e.square().mean(), (self.W, self.c))
        with self.torch.no_grad():
            self.W.sub_(gradients[0], alpha=self.problem.rates[0])
            self.c.sub_(gradients[1], alpha=self.problem.rates[2])


class JaxSgd(_Peer):
    """JAX, one compiled loop with the samples drawn inside; the variant is the generator's name."""

    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        super().__init__(problem)
        import jax

        self.jax = jax
        self.beta = jax.numpy.asarray(problem.beta, problem.dtype)
        self.state = tuple(map(jax.numpy.asarray, problem.start()))
        self.key = jax.random.key(0, impl=variant)
        self.loop = jax.jit(self.chunks, donate_argnums=0)
        self.given = jax.jit(lambda state, batches: jax.lax.scan(self.step, state, batches)[0])

    def run(self, steps: int) -> None:
        self.key, key = self.jax.random.split(self.key)
        self.state = self.jax.block_until_ready(self.loop(self.state, key, steps // self.chunk))

    def after(self, batches: np.ndarray) -> np.ndarray:
        return np.asarray(self.given(self.state, batches)[0])

    def chunks(self, state: Any, key: Any, count: Any) -> Any:
        def chunk(k: Any, state: Any) -> Any:
            X = self.jax.random.normal(self.jax.random.fold_in(key, k), self.shape, state[0].dtype)
            if self.chunk == 1:
                return self.step(state, X[0])[0]
            return self.jax.lax.scan(self.step, state, X)[0]

        return self.jax.lax.fori_loop(0, count, chunk, state)

    def step(self, state: Any, X: Any) -> tuple[Any, None]:
        W, a, c = state
        Z = X @ W.T
        if self.square:
            H, slope = Z * Z, Z
        elif self.relu:
            H, slope = self.jax.numpy.maximum(Z, 0), (Z > 0).astype(Z.dtype)
        else:
            H = self.jax.numpy.tanh(Z)
            slope = 1 - H * H
        q = H.sum(1)
        e = a * q + c - ((X * X) @ self.beta + self.b0)
        W = W - (slope * (self.rate_W * a * e)[:, None]).T @ X
        if self.problem.scalar:
            a = a - 2 * self.eta_a * (e * q).mean()
        return (W, a, c - self.rate_c * e.mean()), None
