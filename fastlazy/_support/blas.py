"""When BLAS and LAPACK must run on one thread, so that a result has the same bits for any number of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

_ALONE = 64**2  # entries up to which OpenBLAS and MKL use one thread anyway, and a limit would cost more than the call


def same_bits(rows: int, columns: int) -> AbstractContextManager[None]:
    """A context for products and factorizations of matrices of up to this size, whose bits threads cannot change."""
    if max(rows, columns) ** 2 <= _ALONE:
        return nullcontext()
    from fastlazy._support.threads import one_blas_thread  # and with it the compiler, which small problems may not need

    return one_blas_thread()
