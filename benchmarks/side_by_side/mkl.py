"""The BLAS, the vector functions and the generator of Intel's MKL, from the wheel `mkl`, called by ctypes.

Arrays are C-contiguous, of one dtype, float32 or float64. Its number of threads comes from the environment.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
from ctypes import POINTER, byref, c_double, c_float, c_int, c_uint, c_void_p
from typing import Any

import numpy as np

_ROW_MAJOR, _NO_TRANSPOSE, _TRANSPOSE, _LOWER = 101, 111, 112, 122  # as cblas.h has them
_SFMT19937, _BOX_MULLER = 13 << 20, 1  # as mkl_vsl.h has them: its fastest generator and the faster way to normals


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library; None if the wheel is not installed."""
    try:
        files = importlib.metadata.files("mkl") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    name = next((file for file in files if "mkl_rt" in file.name), None)
    return None if name is None else ctypes.CDLL(str(name.locate()))


def version() -> str:
    """The version, as the wheel has it."""
    return importlib.metadata.version("mkl")


def gemm(alpha: float, A: np.ndarray, B: np.ndarray, beta: float, C: np.ndarray) -> np.ndarray:
    """C <- alpha A B + beta C, in place; A and B may be transposed views."""
    (m, k), n = A.shape, B.shape[1]
    number = _number(C)
    _function("cblas_{}gemm", C, c_int, c_int, c_int, c_int, c_int, c_int, number, c_void_p, c_int, c_void_p, c_int,
              number, c_void_p, c_int)(
        _ROW_MAJOR, *_turned(A, B), m, n, k, alpha, A.ctypes.data, _stride(A), B.ctypes.data, _stride(B),
        beta, C.ctypes.data, n,
    )  # fmt: skip
    return C


def syrk(alpha: float, A: np.ndarray, beta: float, C: np.ndarray) -> np.ndarray:
    """Lower triangle of C <- alpha A A^T + beta C, in place; A may be a transposed view."""
    (n, k), number = A.shape, _number(C)
    _function("cblas_{}syrk", C, c_int, c_int, c_int, c_int, c_int, number, c_void_p, c_int, number, c_void_p, c_int)(
        _ROW_MAJOR, _LOWER, *_turned(A), n, k, alpha, A.ctypes.data, _stride(A), beta, C.ctypes.data, n
    )
    return C


def gemv(W: np.ndarray, x: np.ndarray, z: np.ndarray) -> None:
    """Fill z = W x, in place."""
    (N, d), number = W.shape, _number(W)
    _function("cblas_{}gemv", W, c_int, c_int, c_int, c_int, number, c_void_p, c_int, c_void_p, c_int, number, c_void_p,
              c_int)(
        _ROW_MAJOR, _NO_TRANSPOSE, N, d, 1, W.ctypes.data, d, x.ctypes.data, 1, 0, z.ctypes.data, 1
    )  # fmt: skip


def ger(alpha: float, z: np.ndarray, x: np.ndarray, W: np.ndarray) -> None:
    """W <- W + alpha z x^T, in place."""
    (N, d), number = W.shape, _number(W)
    _function("cblas_{}ger", W, c_int, c_int, c_int, number, c_void_p, c_int, c_void_p, c_int, c_void_p, c_int)(
        _ROW_MAJOR, N, d, alpha, z.ctypes.data, 1, x.ctypes.data, 1, W.ctypes.data, d
    )


def arccos(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Its arccosine, into *out*, which may be *x*."""
    _function("v{}Acos", x, c_int, c_void_p, c_void_p)(x.size, x.ctypes.data, out.ctypes.data)
    return out


def tanh(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Its hyperbolic tangent, into *out*, which may be *x*."""
    _function("v{}Tanh", x, c_int, c_void_p, c_void_p)(x.size, x.ctypes.data, out.ctypes.data)
    return out


class Normals:
    """Standard normals, of a stream of its own."""

    def __init__(self, seed: int) -> None:
        self.stream = c_void_p()
        new = _loaded().vslNewStream
        new.argtypes = [POINTER(c_void_p), c_int, c_uint]
        if new(byref(self.stream), _SFMT19937, seed) != 0:
            raise RuntimeError("MKL gives no stream of random numbers")

    def fill(self, out: np.ndarray) -> None:
        """Fill *out*, in place."""
        number = _number(out)
        _function("v{}RngGaussian", out, c_int, c_void_p, c_int, c_void_p, number, number)(
            _BOX_MULLER, self.stream, out.size, out.ctypes.data, 0, 1
        )


def _loaded() -> Any:
    found = library()
    if found is None:
        raise RuntimeError("the wheel `mkl` is not installed: pip install mkl")
    return found


def _number(array: np.ndarray) -> Any:
    return c_float if array.dtype == np.float32 else c_double


@functools.cache
def _typed(name: str, types: tuple[Any, ...]) -> Any:
    function = getattr(_loaded(), name)
    function.argtypes = types
    return function


def _function(name: str, array: np.ndarray, *types: Any) -> Any:
    return _typed(name.format("s" if array.dtype == np.float32 else "d"), types)


def _turned(*matrices: np.ndarray) -> list[int]:
    return [_NO_TRANSPOSE if A.flags.c_contiguous else _TRANSPOSE for A in matrices]


def _stride(A: np.ndarray) -> int:
    return A.shape[1] if A.flags.c_contiguous else A.shape[0]
