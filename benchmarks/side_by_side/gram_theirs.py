"""The same Gram matrices, kernels and normal equations in NumPy, scikit-learn, PyTorch and JAX.

Each as its best user would write it. Where there are several ways that could be the fastest, each is a variant.
A class offers `call()`, which gives new arrays, as a user's call does, in the library's own type. ReLU passes a
positive factor on, so that a kernel's 1/N is taken into W or X, which are small.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.side_by_side.gram_problem import Problem

SAMPLES = 5000  # of one block of the normal equations: 0.2 GB of features
NEURONS = 100  # of one block of the Jacobian: 0.1 GB at n = 256
_ROWS = 64  # of a result that stay in the cache for several passes


class _Peer:
    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        self.problem, self.variant, self.threads = problem, variant, threads
        self.X, self.W, self.y = problem.inputs()
        # 0 and 1 and their sums below 2^24 are exact in float32, at half the cost of float64
        self.counts = "float32" if variant == "float32 counts" else problem.dtype

    def call(self) -> tuple[Any, ...]:
        """The results."""
        name = self.problem.work
        if name == "nt_kernel" or (name == "rf_gram" and self.problem.activation == "relu"):
            name = f"{name}_{self.problem.activation}"
        results = getattr(self, name)()
        return results if isinstance(results, tuple) else (results,)


class NumpyGram(_Peer):
    """NumPy, whose A @ A.T computes half (BLAS syrk); passes in place, over rows that stay in the cache.

    "cholesky": 4 W^T W / N = L L^T, so that x^2's NT kernel is symmetric products alone; "blas": SciPy's syrk adds a
    block's normal equations to the triangle without a temporary; "float32 counts": 0/1 derivatives in float32.
    """

    def rf_gram(self) -> np.ndarray:
        scaled = self.W * 2**0.25
        return _square_and_add_norms(self.symmetric(scaled), self.W)

    def rf_gram_relu(self) -> np.ndarray:
        r = np.linalg.norm(self.W, axis=1)
        unit = self.W / r[:, None]
        U = self.symmetric(unit)
        theta = np.empty((_ROWS, len(U)), U.dtype)
        r = r / (2 * np.pi) ** 0.5
        for start in range(0, len(U), _ROWS):
            cosine = np.clip(U[start : start + _ROWS], -1, 1, out=U[start : start + _ROWS])
            angle = self.arccos(cosine, out=theta[: len(cosine)])
            sine = np.sqrt(1 - cosine * cosine)
            np.subtract(np.pi, angle, out=angle)
            cosine *= angle
            cosine += sine
            cosine *= r
            cosine *= r[start : start + _ROWS, None]
        return U

    def rf_kernel(self) -> np.ndarray:
        features = self.product(self.X, (self.W / self.problem.N**0.5).T)
        np.maximum(features, 0, out=features)
        return self.symmetric(features)

    def nt_kernel_square(self) -> np.ndarray:
        M = self.symmetric(self.W.T)
        M *= 4 / self.problem.N
        if self.variant == "cholesky":
            K = self.symmetric(self.product(self.X, np.linalg.cholesky(M)))
        else:
            K = self.product(self.product(self.X, M), self.X.T)
        K *= self.symmetric(self.X)
        return K

    def nt_kernel_relu(self) -> np.ndarray:
        slopes = (self.product(self.X, self.W.T) > 0).astype(self.counts)
        K = self.symmetric(self.X / self.problem.N**0.5)
        K *= self.symmetric(slopes)
        return K

    def nt_kernel_tanh(self) -> np.ndarray:
        slopes = self.product(self.X, self.W.T)
        self.tanh(slopes, out=slopes)
        np.multiply(slopes, slopes, out=slopes)
        np.subtract(1, slopes, out=slopes)
        K = self.symmetric(self.X / self.problem.N**0.5)
        K *= self.symmetric(slopes)
        return K

    def rf_normal_equations(self) -> tuple[np.ndarray, np.ndarray]:
        n, N = self.problem.n, self.problem.N
        features = np.empty((min(n, SAMPLES), N), self.problem.dtype)
        Gram, vector = np.zeros((N, N), self.problem.dtype), np.zeros(N, self.problem.dtype)
        for start in range(0, n, SAMPLES):
            X, y = self.X[start : start + SAMPLES], self.y[start : start + SAMPLES]
            block = self.product(X, self.W.T, out=features[: len(X)])
            np.maximum(block, 0, out=block)
            if self.variant == "blas":
                self.add_symmetric(block.T, Gram)
            else:
                Gram += block.T @ block
            vector += y @ block
        Gram /= n
        vector /= n
        if self.variant == "blas":
            mirror(Gram)
        return Gram, vector

    def product(self, A: np.ndarray, B: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """A B."""
        return np.matmul(A, B, out=out)

    def symmetric(self, A: np.ndarray) -> np.ndarray:
        """A A^T."""
        return A @ A.T

    def add_symmetric(self, A: np.ndarray, C: np.ndarray) -> None:
        """Add A A^T to the lower triangle of C, in place."""
        self.syrk(1, A, beta=1, c=C.T, overwrite_c=1)

    arccos: Callable[..., np.ndarray] = staticmethod(np.arccos)
    tanh: Callable[..., np.ndarray] = staticmethod(np.tanh)

    @functools.cached_property
    def syrk(self) -> Callable[..., np.ndarray]:
        from scipy.linalg import get_blas_funcs

        return get_blas_funcs("syrk", dtype=self.problem.dtype)


class SklearnGram(_Peer):
    """scikit-learn's pairwise kernels, on features where they know no other way; it has no normal equations."""

    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        super().__init__(problem, variant, threads)
        from sklearn.metrics import pairwise

        self.pairwise = pairwise

    def rf_gram(self) -> np.ndarray:
        U = self.pairwise.polynomial_kernel(self.W, degree=2, gamma=2**0.5, coef0=0)
        return _add_norms(U, self.W)

    def rf_kernel(self) -> np.ndarray:
        features = self.X @ (self.W / self.problem.N**0.5).T
        np.maximum(features, 0, out=features)
        return self.pairwise.linear_kernel(features)

    def nt_kernel_square(self) -> np.ndarray:
        M = self.W.T @ self.W
        M *= 4 / self.problem.N
        K = self.pairwise.linear_kernel(self.X @ M, self.X)
        K *= self.pairwise.linear_kernel(self.X)
        return K

    def nt_kernel_relu(self) -> np.ndarray:
        slopes = (self.X @ self.W.T > 0).astype(self.counts)
        K = self.pairwise.linear_kernel(self.X / self.problem.N**0.5)
        K *= self.pairwise.linear_kernel(slopes)
        return K

    def nt_kernel_tanh(self) -> np.ndarray:
        slopes = self.X @ self.W.T
        np.tanh(slopes, out=slopes)
        np.multiply(slopes, slopes, out=slopes)
        np.subtract(1, slopes, out=slopes)
        K = self.pairwise.linear_kernel(self.X / self.problem.N**0.5)
        K *= self.pairwise.linear_kernel(slopes)
        return K


class TorchGram(_Peer):
    """PyTorch, in place; "float32 counts" as for NumPy; "autodiff": torch.func's Jacobian, contracted in blocks."""

    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        super().__init__(problem, variant, threads)
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.X, self.W, self.y = (torch.from_numpy(array) for array in (self.X, self.W, self.y))

    def call(self) -> tuple[Any, ...]:
        with self.torch.no_grad() if self.variant == "autodiff" else self.torch.inference_mode():
            return super().call()

    def rf_gram(self) -> Any:
        scaled, norms = self.W * 2**0.25, self.W.square().sum(1)
        return (scaled @ scaled.T).square_().addr_(norms, norms)

    def rf_gram_relu(self) -> Any:
        r = self.W.norm(dim=1)
        unit, r = self.W / r[:, None], r / (2 * np.pi) ** 0.5
        cosine = (unit @ unit.T).clamp_(-1, 1)
        angle = self.torch.pi - cosine.arccos()
        sine = (1 - cosine.square()).sqrt_()
        return cosine.mul_(angle).add_(sine).mul_(r).mul_(r[:, None])

    def rf_kernel(self) -> Any:
        features = (self.X @ (self.W / self.problem.N**0.5).T).relu_()
        return features @ features.T

    def nt_kernel_square(self) -> Any:
        M = (self.W.T @ self.W).mul_(4 / self.problem.N)
        return ((self.X @ M) @ self.X.T).mul_(self.X @ self.X.T)

    def nt_kernel_relu(self) -> Any:
        if self.variant == "autodiff":
            return self.empirical_ntk()
        slopes = (self.X @ self.W.T > 0).to(getattr(self.torch, self.counts))
        scaled = self.X / self.problem.N**0.5
        return (scaled @ scaled.T).mul_(slopes @ slopes.T)

    def nt_kernel_tanh(self) -> Any:
        slopes = (self.X @ self.W.T).tanh_().square_().neg_().add_(1)
        scaled = self.X / self.problem.N**0.5
        return (scaled @ scaled.T).mul_(slopes @ slopes.T)

    def empirical_ntk(self) -> Any:
        def network(W: Any, x: Any) -> Any:
            return (W @ x).relu().sum() / self.problem.N**0.5

        jacobian = self.torch.func.vmap(self.torch.func.jacrev(network), in_dims=(None, 0))
        K = self.X.new_zeros(self.problem.n, self.problem.n)
        for W in self.W.split(NEURONS):
            block = jacobian(W, self.X).flatten(1)
            K.addmm_(block, block.T)
        return K

    def rf_normal_equations(self) -> tuple[Any, Any]:
        n, N = self.problem.n, self.problem.N
        features = self.X.new_empty(min(n, SAMPLES), N)
        Gram, vector = self.X.new_zeros(N, N), self.X.new_zeros(N)
        for X, y in zip(self.X.split(SAMPLES), self.y.split(SAMPLES), strict=True):
            block = self.torch.mm(X, self.W.T, out=features[: len(X)]).relu_()
            Gram.addmm_(block.T, block)
            vector.addmv_(block.T, y)
        return Gram.div_(n), vector.div_(n)


class JaxGram(_Peer):
    """JAX, compiled before it is called; "float32 counts" as for NumPy; "autodiff": its Jacobian, as PyTorch's."""

    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        super().__init__(problem, variant, threads)
        import jax

        jax.config.update("jax_enable_x64", True)
        self.jax, self.np = jax, jax.numpy
        self.X, self.W, self.y = (jax.numpy.asarray(array) for array in (self.X, self.W, self.y))
        if problem.work == "rf_normal_equations":
            sums = self.zero_sums()
            add, divide = jax.jit(self.add_block, donate_argnums=0), jax.jit(self.divided, donate_argnums=0)
            of_length = {len(X): (X, y) for X, y in self.blocks()}
            self.add = {length: add.lower(sums, *block, self.W).compile() for length, block in of_length.items()}
            self.divide = divide.lower(sums).compile()
        else:
            function = {
                ("rf_gram", ""): self.rf_gram_of if problem.activation == "square" else self.rf_relu_of,
                ("rf_kernel", ""): self.rf_kernel_of,
                ("nt_kernel", ""): {
                    "square": self.nt_kernel_square_of,
                    "relu": self.nt_relu_of,
                    "tanh": self.nt_tanh_of,
                }.get(problem.activation),
                ("nt_kernel", "float32 counts"): self.nt_relu_of,
                ("nt_kernel", "autodiff"): self.empirical_ntk_of,
            }[problem.work, variant]
            self.kernel = jax.jit(function).lower(self.X, self.W).compile()

    def call(self) -> tuple[Any, ...]:
        if self.problem.work != "rf_normal_equations":
            return (self.jax.block_until_ready(self.kernel(self.X, self.W)),)
        sums = self.zero_sums()
        for X, y in self.blocks():
            sums = self.add[len(X)](sums, X, y, self.W)
        return self.jax.block_until_ready(self.divide(sums))

    def rf_gram_of(self, _: Any, W: Any) -> Any:
        norms = (W * W).sum(1)
        return 2 * self.np.square(W @ W.T) + norms[:, None] * norms

    def rf_relu_of(self, _: Any, W: Any) -> Any:
        r = self.np.linalg.norm(W, axis=1)
        unit = W / r[:, None]
        cosine = self.np.clip(unit @ unit.T, -1, 1)
        arc = self.np.sqrt(1 - cosine * cosine) + (self.np.pi - self.np.arccos(cosine)) * cosine
        return r[:, None] * r * arc / (2 * self.np.pi)

    def rf_kernel_of(self, X: Any, W: Any) -> Any:
        features = self.jax.nn.relu(X @ (W / self.problem.N**0.5).T)
        return features @ features.T

    def nt_kernel_square_of(self, X: Any, W: Any) -> Any:
        return ((X @ (4 / self.problem.N * (W.T @ W))) @ X.T) * (X @ X.T)

    def nt_relu_of(self, X: Any, W: Any) -> Any:
        slopes = (X @ W.T > 0).astype(self.counts)
        return (slopes @ slopes.T) * (X @ X.T / self.problem.N)

    def nt_tanh_of(self, X: Any, W: Any) -> Any:
        slopes = 1 - self.np.square(self.np.tanh(X @ W.T))
        return (slopes @ slopes.T) * (X @ X.T / self.problem.N)

    def empirical_ntk_of(self, X: Any, W: Any) -> Any:
        def network(W: Any, x: Any) -> Any:
            return self.jax.nn.relu(W @ x).sum() / self.problem.N**0.5

        def add_block(K: Any, W: Any) -> tuple[Any, None]:
            block = self.jax.vmap(self.jax.grad(network), in_axes=(None, 0))(W, X).reshape(len(X), -1)
            return K + block @ block.T, None

        padded = self.np.pad(W, ((0, -len(W) % NEURONS), (0, 0)))  # of ReLU, JAX takes the derivative at 0 as 0
        blocks = padded.reshape(-1, NEURONS, self.problem.d)
        return self.jax.lax.scan(add_block, self.np.zeros((len(X), len(X)), X.dtype), blocks)[0]

    def blocks(self) -> Iterator[tuple[Any, Any]]:
        """The samples and responses of each block."""
        for start in range(0, self.problem.n, SAMPLES):
            yield self.X[start : start + SAMPLES], self.y[start : start + SAMPLES]

    def zero_sums(self) -> tuple[Any, Any]:
        """What the blocks are added to."""
        N = self.problem.N
        return self.np.zeros((N, N), self.X.dtype), self.np.zeros(N, self.X.dtype)

    def add_block(self, sums: Any, X: Any, y: Any, W: Any) -> Any:
        features = self.jax.nn.relu(X @ W.T)
        return sums[0] + features.T @ features, sums[1] + y @ features

    def divided(self, sums: Any) -> Any:
        return sums[0] / self.problem.n, sums[1] / self.problem.n


def _square_and_add_norms(U: np.ndarray, W: np.ndarray) -> np.ndarray:
    """U^2 + |w_i|^2 |w_j|^2, in place."""
    norms = np.einsum("ij,ij->i", W, W)
    for start in range(0, len(U), _ROWS):
        rows = U[start : start + _ROWS]
        np.multiply(rows, rows, out=rows)
        rows += np.multiply.outer(norms[start : start + _ROWS], norms)
    return U


def _add_norms(U: np.ndarray, W: np.ndarray) -> np.ndarray:
    """U + |w_i|^2 |w_j|^2, in place."""
    norms = np.einsum("ij,ij->i", W, W)
    for start in range(0, len(U), _ROWS):
        U[start : start + _ROWS] += np.multiply.outer(norms[start : start + _ROWS], norms)
    return U


def mirror(A: np.ndarray) -> None:
    """Copy the lower triangle to the upper, in place."""
    for start in range(0, len(A), _ROWS):
        stop = start + _ROWS
        A[start:stop, stop:] = A[stop:, start:stop].T
        square = A[start:stop, start:stop]
        square[:] = np.tril(square) + np.tril(square, -1).T
