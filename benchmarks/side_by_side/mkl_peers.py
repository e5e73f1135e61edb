"""Gram matrices and SGD in NumPy with MKL in place of its BLAS, of its slower functions and of its generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.side_by_side import mkl
from benchmarks.side_by_side.gram_problem import Problem as GramProblem
from benchmarks.side_by_side.gram_theirs import NumpyGram, mirror
from benchmarks.side_by_side.sgd_problem import Problem as SgdProblem
from benchmarks.side_by_side.sgd_theirs import NumpySgd


class MklGram(NumpyGram):
    """As NumPy's, its variants too; symmetric products are MKL's syrk, into one triangle."""

    def __init__(self, problem: GramProblem, variant: str, threads: int) -> None:
        super().__init__(problem, variant, threads)
        self.arccos: Callable[..., np.ndarray] = mkl.arccos
        self.tanh: Callable[..., np.ndarray] = mkl.tanh

    def product(self, A: np.ndarray, B: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return mkl.gemm(1, A, B, 0, np.empty((len(A), B.shape[1]), A.dtype) if out is None else out)

    def symmetric(self, A: np.ndarray) -> np.ndarray:
        C = mkl.syrk(1, A, 0, np.empty((len(A), len(A)), A.dtype))
        mirror(C)
        return C

    def add_symmetric(self, A: np.ndarray, C: np.ndarray) -> None:
        mkl.syrk(1, A, 1, C)


class MklSgd(NumpySgd):
    """As NumPy's with BLAS; its normals are MKL's."""

    def __init__(self, problem: SgdProblem, variant: str, threads: int) -> None:
        super().__init__(problem, variant, threads)
        self.normals = mkl.Normals(0)

    def draw(self) -> None:
        self.normals.fill(self.X)

    def tanh(self, x: np.ndarray, out: np.ndarray) -> None:
        mkl.tanh(x, out)

    def step_blas(self, X: np.ndarray, y: np.ndarray) -> None:
        if len(X) == 1:
            mkl.gemv(self.W, X[0], self.Z[0])
            self.scale_products(y)
            mkl.ger(-1, self.Z[0], X[0], self.W)
        else:
            mkl.gemm(1, X, self.W.T, 0, self.Z)
            self.scale_products(y)
            mkl.gemm(-1, self.Z.T, X, 1, self.W)
