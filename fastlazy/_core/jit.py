"""How every core function is compiled: one place for each option and its reason, and for the cache.

The options
    ``nogil``: several fits share the cores as plain threads, and Ctrl-C reaches the interpreter.
    ``error_model="numpy"``: a division by zero gives inf, as in NumPy, without a branch in each loop.
    ``no_cfunc_wrapper``: nothing takes the address of a function as C would.
    ``fastmath``: only what lets a sum be reordered and fused. The full set would also let LLVM assume
    that no NaN exists, and fold the tests for divergence away. Normals are compiled without any, so
    that every machine computes the same numbers.

The cache
    Numba stamps a cached function with the file that holds it, not with the files it calls, so a
    change in ``tile.py`` would leave a stale ``sgd.py`` behind. Here the stamp is a digest of all of
    ``_core``, also where that is inside an archive, and of the numba and llvmlite versions. Where no source
    can be found, no folder is writable, or the disk is full or holds a damaged entry, functions are compiled
    in memory instead: slower, never wrong. Entries of different register geometries (see `geometry`) lie side by side.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import warnings
from collections.abc import Callable
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import llvmlite
import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

from fastlazy._core.geometry import GEOMETRY

_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_REORDER = {"reassoc", "contract", "nsz", "arcp"}


def jit(function: Callable[..., Any]) -> Any:
    """The compiled *function*; sums may be reordered and products fused into them."""
    return _compile_lazily(function, fastmath=_REORDER)


def jit_exact(function: Callable[..., Any]) -> Any:
    """The compiled *function*, with every floating-point operation as written, in the order written."""
    return _compile_lazily(function, fastmath=False)


def jit_inline(function: Callable[..., Any]) -> Any:
    """As `jit`, and always inlined, for what is called in the innermost loops; not cached by itself.

    Sums that may be reordered must be inlined: of a function that stays a call, the process that compiles it and those
    that find it in the cache run two copies, whose sums may differ in the last bit (test_jit.py).
    """
    return numba.njit(**_OPTIONS, fastmath=_REORDER, forceinline=True, no_cpython_wrapper=True)(function)


def jit_exact_inline(function: Callable[..., Any]) -> Any:
    """As `jit_exact`, and always inlined: a loop around a call that stays a call is not vectorised."""
    return _compile_lazily(function, fastmath=False, forceinline=True)


def _compile_lazily(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher = numba.njit(**_OPTIONS, **options)(function)
    if not options.get("forceinline"):
        _widen_literals(dispatcher)
    dispatcher._cache = _Uncached()
    if _DIGEST:  # else a stale kernel could not be told from a good one
        with contextlib.suppress(RuntimeError, OSError):  # no writable folder for the cache
            dispatcher._cache = _Cache(function)
    return dispatcher


def _widen_literals(dispatcher: Any) -> None:
    """Let a constant in a call be a number like any other: numba would compile the function once more for it."""
    numbas = dispatcher.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:
        return numbas([*map(numba.types.unliteral, args)], {key: numba.types.unliteral(kws[key]) for key in kws})

    dispatcher.get_call_template = get_call_template


def source_digest(folder: Traversable | None = None) -> str:
    """Digest of every source file of *folder*, by default of the core, and of the compiler's version.

    The folder may be in an archive. Empty if no source can be found, as in a program frozen into one file.
    """
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    folder = resources.files(__package__) if folder is None else folder
    sources = [file for file in folder.iterdir() if file.name.endswith((".py", ".pyc"))]
    for file in sorted(sources, key=lambda file: file.name):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest() if sources else ""


def cache_folder() -> str | None:
    """Where compiled kernels are kept; None if they are not."""
    if _DIGEST:
        with contextlib.suppress(RuntimeError, OSError):
            return str(_Cache(cache_folder)._cache_path)
    return None


class _Cache(FunctionCache):
    """Numba's on-disk cache of one function, stamped with the digest of the whole core."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=_DIGEST,
        )
        # Numba compares the version before it unpickles what follows: an index of another core may name classes that
        # this one does not have.
        self._cache_file._version = f"{numba.__version__} {_DIGEST}"

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        """Numba's key, and the register geometry: one folder serves several."""
        return (*super()._index_key(sig, codegen), str(GEOMETRY))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # damaged bytes raise errors of any kind: begin the cache anew
            found = None
            with contextlib.suppress(OSError):
                self.flush()
        if found is None:
            _announce_compilation()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:  # disk full, folder gone: the compiled function is still good
            warnings.warn(
                f"the compiled kernels could not be cached ({error}); the next process compiles again",
                RuntimeWarning,
                stacklevel=2,
            )


class _Uncached(NullCache):  # type: ignore[misc]
    """Stands in where nothing can be written."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        _announce_compilation()


def _announce_compilation() -> None:
    if not _announced:
        _announced.append(True)
        print("fastlazy: compiling for this machine, once; this can take half a minute", file=sys.stderr)


_announced: list[bool] = []
_DIGEST = source_digest()
