"""The neural tangent model fitted by NumPy with scikit-learn's KernelRidge.

Written as its best user would. "float32 counts": slopes of ReLU are 0 and 1, whose sums are exact in
float32, at half the cost. "own b": what a user who takes the dual apart could do, predictions by b_i = sum_s u_s
sigma'(<w_i, x_s>) x_s without a second kernel, as `NTRegressor` does.
"""

from __future__ import annotations

import numpy as np

from benchmarks.side_by_side.data_problem import Problem

_ROWS = 2000  # samples whose features are made at a time


class KernelRidgeData:
    """Kernels by NumPy, the solution by KernelRidge(kernel="precomputed")."""

    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        self.problem, self.variant = problem, variant
        self.X, self.y, self.new, self.W = problem.inputs()
        self.counts = np.dtype("float64" if variant == "" else "float32")

    def call(self) -> np.ndarray:
        """The predictions of a model fitted anew."""
        from sklearn.kernel_ridge import KernelRidge

        model = KernelRidge(alpha=self.problem.alpha, kernel="precomputed")
        if self.problem.activation == "square":
            M = 4 * (self.W.T @ self.W)
            root = np.linalg.cholesky(M)  # a symmetric product, at half the cost
            moved = self.X @ root
            K = moved @ moved.T
            K *= self.X @ self.X.T
            model.fit(K, self.y)
            if self.variant == "own b":
                move = (self.X.T * model.dual_coef_) @ self.X
                return np.einsum("ij,ij->i", self.new @ (M @ move), self.new)
            K = (self.new @ M) @ self.X.T
            K *= self.new @ self.X.T
            return model.predict(K)
        slopes = self._slopes(self.X)
        K = self.X @ self.X.T
        K *= slopes @ slopes.T
        model.fit(K, self.y)
        if self.variant == "own b":
            return self._by_coefficients(slopes, model.dual_coef_)
        K = self.new @ self.X.T
        K *= self._slopes(self.new) @ slopes.T
        return model.predict(K)

    def _slopes(self, rows: np.ndarray) -> np.ndarray:
        return (rows @ self.W.T > 0).astype(self.counts)

    def _by_coefficients(self, slopes: np.ndarray, u: np.ndarray) -> np.ndarray:
        b = np.zeros_like(self.W)
        for start in range(0, len(u), _ROWS):
            part = slice(start, start + _ROWS)
            b += slopes[part].T.astype(float) @ (u[part, None] * self.X[part])
        out = np.empty(len(self.new))
        for start in range(0, len(self.new), _ROWS):
            rows = self.new[start : start + _ROWS]
            products = rows @ b.T
            products *= rows @ self.W.T > 0
            out[start : start + _ROWS] = products.sum(axis=1)
        return out
