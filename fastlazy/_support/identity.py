"""What a value is, told alike by every process: descriptions of functions and of all that they refer to.

A function is described by its instructions, without names of files and numbers of lines, and by the values of its
closure, its defaults and the globals that it reads. So its identity changes with what it computes, and neither with a
comment nor with where it stands; another minor version of Python, which has other instructions, tells another one.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import json
import sys
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from fastlazy._support.arguments import shown
from fastlazy._support.snapshot import LIBRARIES, cell_contents, codes_within, globals_read

_ATOMS = (type(None), type(...), bool, int, float, complex, str, bytes)
_PLACES = {"site-packages", "dist-packages"}  # where other people's modules are


def described(value: Any, *, strict: bool, home: str | None = None) -> Any:
    """A description of *value* that JSON can hold, the same in every process of one minor version of Python.

    Parameters
    ----------
    value : object
    strict : bool
        Whether the description must tell all: a function of an installed package is then described by its content, but
        for those of Python, NumPy, SciPy, numba and this package, and what cannot be described is an error. Otherwise
        what comes from installed packages is described by its name, and their objects, which may have a state, by
        their types.
    home : str, optional
        A package that is described by its content though it is installed.

    Raises
    ------
    TypeError
        If *strict*, and something cannot be described.
    """
    return _Reader(strict, (home or "").partition(".")[0]).read(value)


def digest(description: Any) -> str:
    """The SHA-256 of what JSON can hold, in hexadecimal digits."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def source_of(function: Any) -> str:
    """The source of *function*, empty where there is none or what stands in its place cannot be read."""
    try:
        return inspect.getsource(getattr(function, "py_func", function))
    except Exception:  # of tokenize, too, where the file is not what it was, or no file of Python
        return ""


class _Reader:
    """What was met so far, for values that refer to each other."""

    def __init__(self, strict: bool, home: str) -> None:
        self.strict, self.home = strict, home
        self.known: dict[int, tuple[int, Any]] = {}  # number and value, which is kept, so that its id is its own

    def read(self, value: Any, names: frozenset[str] = frozenset()) -> Any:
        """The description of *value*, of a user's module that of its attributes *names*."""
        if type(value) in _ATOMS:
            return [type(value).__name__, repr(value)]
        if isinstance(value, (np.generic, np.dtype)):
            return [type(value).__name__, repr(value)]
        if isinstance(value, (set, frozenset)):
            return [type(value).__name__, sorted(json.dumps(described(part, strict=self.strict)) for part in value)]
        if isinstance(value, tuple):
            return [type(value).__name__, [self.read(part, names) for part in value]]
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            data = np.ascontiguousarray(value)
            return ["array", value.dtype.str, list(value.shape), hashlib.sha256(data.tobytes()).hexdigest()]
        # Constants and arrays, above, may be one object in this process and two in another.
        if id(value) in self.known:
            return ["again", self.known[id(value)][0]]
        self.known[id(value)] = len(self.known), value
        if isinstance(value, list):
            return ["list", [self.read(part, names) for part in value]]
        if isinstance(value, dict):
            return ["dict", sorted(([self.read(key), self.read(part)] for key, part in value.items()), key=json.dumps)]
        if isinstance(value, ModuleType):
            if not self._is_own(value.__name__.rpartition(" ")[2]):  # the name of a snapshot's copy begins otherwise
                return ["module", value.__name__]
            present = sorted(name for name in names if hasattr(value, name))
            return ["module", [[name, self.read(getattr(value, name), names)] for name in present]]
        return self._read_callable(value)

    def _read_callable(self, value: Any) -> Any:
        inner = _compiled_from(value)
        module = getattr(inner if inner is not None else value, "__module__", None)
        if inner is not None and self._is_own(module):
            return ["compiled", type(value).__name__, _options(value), self.read(inner)]
        if isinstance(value, FunctionType) and self._is_own(module):
            return self._read_function(value)
        if isinstance(value, type) and self._is_own(module) and not self.strict:
            members = sorted((name, part) for name, part in vars(value).items() if _is_member(name, part))
            return ["class", value.__qualname__, [[name, self.read(part)] for name, part in members]]
        if isinstance(value, (FunctionType, type)) or inner is not None:
            return ["name", module, getattr(value, "__qualname__", str(value))]
        if isinstance(value, np.ufunc) and _is_known_ufunc(value):
            return ["ufunc", value.__name__]
        if isinstance(value, BuiltinFunctionType) and isinstance(value.__self__, ModuleType | None):
            return ["name", module, value.__qualname__]
        if isinstance(value, (MethodDescriptorType, WrapperDescriptorType)):
            return ["name", value.__objclass__.__qualname__, value.__name__]
        if isinstance(value, MethodType):
            return ["method", self.read(value.__func__), self.read(value.__self__)]
        if isinstance(value, functools.partial):
            return ["partial", self.read(value.func), self.read(value.args), self.read(value.keywords)]
        if isinstance(value, (staticmethod, classmethod)):
            return [type(value).__name__, self.read(value.__func__)]
        if isinstance(value, property):
            return ["property", self.read((value.fget, value.fset))]
        return self._read_object(value)

    def _read_function(self, function: FunctionType) -> Any:
        codes = list(codes_within(function.__code__))
        names = frozenset(name for code in codes for name in code.co_names)
        read = sorted(globals_read(codes) & function.__globals__.keys())
        return [
            "function",
            self._read_code(function.__code__),
            self.read(function.__defaults__),
            self.read(function.__kwdefaults__),
            [self.read(part, names) for part in cell_contents(function)],
            [[name, self.read(function.__globals__[name], names)] for name in read],
        ]

    def _read_code(self, code: CodeType) -> Any:
        steps = [
            [step.opname, self._read_code(step.argval) if isinstance(step.argval, CodeType) else self.read(step.argval)]
            for step in dis.get_instructions(code)
        ]
        counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
        return [counts, list(code.co_freevars), code.co_exceptiontable.hex(), steps]

    def _read_object(self, value: Any) -> Any:
        kind = type(value)
        if (kind.__module__ or "").partition(".")[0] == "numba":  # its types
            return ["numba", kind.__qualname__, str(value)]
        if self.strict:
            raise TypeError(
                f"it refers to {shown(value)} of type {kind.__name__}, which no two processes can be sure to have alike"
            )
        if self._is_own(kind.__module__):
            return ["object", self.read(kind), self.read(getattr(value, "__dict__", None))]
        if (kind.__module__ or "").partition(".")[0] == "fastlazy":  # what it has does not change
            identity = getattr(value, "identity", None)
            return ["object", kind.__qualname__, self.read(identity or list(value.__reduce_ex__(4)[:3]))]
        return ["object", kind.__module__, kind.__qualname__]

    def _is_own(self, module: str | None) -> bool:
        """Whether what is defined in a module of that name is described by its content."""
        first = (module or "").partition(".")[0]
        if first in LIBRARIES or first in sys.stdlib_module_names:
            return False
        if first == self.home:
            return True
        file = getattr(sys.modules.get(module or ""), "__file__", None)
        return self.strict or file is None or not _PLACES & set(Path(file).parts)


def _compiled_from(value: Any) -> Any:
    """The Python function that numba or a cache has made *value* of, if it is made so."""
    if isinstance(value, (type, ModuleType)):
        return None
    made_of = getattr(value, "py_func", getattr(getattr(value, "_dispatcher", None), "py_func", None))
    if made_of is None and isinstance(value, functools._lru_cache_wrapper):
        return value.__wrapped__
    return made_of if isinstance(made_of, FunctionType) else None


def _options(value: Any) -> Any:
    """How numba compiles *value*: its options, and its signatures where it has no others."""
    options = getattr(value, "targetoptions", getattr(getattr(value, "_dispatcher", None), "targetoptions", {}))
    told = sorted([name, repr(part)] for name, part in options.items() if type(part) in _ATOMS)
    fixed = not getattr(value, "_can_compile", True)
    return [told, [str(signature) for signature in value.nopython_signatures] if fixed else []]


def _is_member(name: str, part: Any) -> bool:
    """Whether an entry of a class's dictionary is part of what the class does."""
    return isinstance(part, (FunctionType, staticmethod, classmethod, property)) or (
        type(part) in _ATOMS and not name.startswith("__")
    )


def _is_known_ufunc(value: np.ufunc) -> bool:
    from scipy import special

    return any(getattr(home, value.__name__, None) is value for home in (np, special))
