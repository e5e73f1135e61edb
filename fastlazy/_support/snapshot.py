"""A function as it is now, which nothing that is done to its variables later can change.

numba reads the closure, the defaults and the globals of a function when it compiles the function. So a function that
is compiled later, for another dtype or in another process, may be another function. A snapshot is a copy that refers
to copies of all these values: of arrays, and of the functions that numba is to compile for it.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import partial
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

LIBRARIES = frozenset({"builtins", "math", "cmath", "operator", "numpy", "scipy", "numba", "fastlazy"})


def snapshot(function: Any) -> Any:
    """A copy of the Python or numba *function*; what is compiled for good, or belongs to a library, is returned."""
    if isinstance(function, FunctionType) and not _in_library(function.__module__):
        return _copied_function(function, {})
    return _copied(function, frozenset(), {})


def content(value: Any) -> Any:
    """A hashable value that two functions share, snapshots or not, if they are the same function of equal values."""
    return _content(value, frozenset(), {})


def hashable(value: Any) -> bool:
    """Whether *value* has a hash."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def cell_contents(function: FunctionType) -> Iterator[Any]:
    """What the cells of a closure hold."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is empty
            yield "empty"


def _copied(value: Any, names: frozenset[str], known: dict[int, Any]) -> Any:
    """A copy of what a function refers to; *names* are those of attributes that the function may ask for.

    *known* holds the copies made so far by the identities of the originals, for functions that call each other.
    """
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, np.ndarray):
        known[id(value)] = copy = value.copy()
        copy.flags.writeable = False
        return copy
    if isinstance(value, tuple):
        parts = [_copied(part, names, known) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, ModuleType) and not _in_library(value.__name__):
        # The copy has a name of its own, or pickle would send the name alone.
        known[id(value)] = module = ModuleType(f"copy of {value.__name__}")
        for name in filter(partial(hasattr, value), names):
            setattr(module, name, _copied(getattr(value, name), names, known))
        return module
    return _copied_compiled(value, known)


def _copied_compiled(value: Any, known: dict[int, Any]) -> Any:
    """A copy of *value* if numba compiles it when it is called, else *value*."""
    from numba.core.dispatcher import Dispatcher
    from numba.np.ufunc.dufunc import DUFunc

    if isinstance(value, Dispatcher) and not _in_library(value.py_func.__module__):
        return _copied_dispatcher(value, known)
    return _copied_ufunc(value, known) if isinstance(value, DUFunc) else value


def _copied_dispatcher(value: Any, known: dict[int, Any]) -> Any:
    function = _empty_copy(value.py_func)
    known[id(value)] = dispatcher = type(value)(function, value.locals, value.targetoptions)
    _fill_copy(function, value.py_func, known)
    if not value._can_compile:  # it has the signatures that it was declared with, and no other
        for signature in value.nopython_signatures:
            dispatcher.compile(signature.args)
        dispatcher.disable_compile()
    return dispatcher


def _copied_ufunc(value: Any, known: dict[int, Any]) -> Any:
    inner = value._dispatcher
    function = _empty_copy(inner.py_func)
    known[id(value)] = ufunc = type(value)(function, identity=value.identity, targetoptions=inner.targetoptions)
    _fill_copy(function, inner.py_func, known)
    if value._frozen:
        for signature in inner.overloads:
            ufunc.add(signature)
        ufunc.disable_compile()
    return ufunc


def _copied_function(function: FunctionType, known: dict[int, Any]) -> FunctionType:
    copy = _empty_copy(function)
    _fill_copy(copy, function, known)
    return copy


def _empty_copy(function: FunctionType) -> FunctionType:
    """The code of *function* without what it refers to."""
    cells = tuple(CellType() for _ in function.__closure__ or ())
    copy = FunctionType(function.__code__, {"__name__": function.__module__}, function.__name__, None, cells)
    copy.__qualname__ = function.__qualname__
    return copy


def _fill_copy(copy: FunctionType, function: FunctionType, known: dict[int, Any]) -> None:
    """Give *copy* copies of what *function* refers to, in place."""
    codes = list(codes_within(function.__code__))
    names = frozenset(name for code in codes for name in code.co_names)
    for name in globals_read(codes) & function.__globals__.keys():
        copy.__globals__[name] = _copied(function.__globals__[name], names, known)
    for cell, original in zip(copy.__closure__ or (), function.__closure__ or (), strict=True):
        try:
            cell.cell_contents = _copied(original.cell_contents, names, known)
        except ValueError:  # it is empty
            continue
    if function.__defaults__:
        copy.__defaults__ = _copied(function.__defaults__, names, known)
    if function.__kwdefaults__:
        copy.__kwdefaults__ = {name: _copied(value, names, known) for name, value in function.__kwdefaults__.items()}


def codes_within(code: CodeType) -> Iterator[CodeType]:
    """*code* and that of the functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_within(constant)


def globals_read(codes: list[CodeType]) -> set[str]:
    instructions = (instruction for code in codes for instruction in dis.get_instructions(code))
    return {instruction.argval for instruction in instructions if instruction.opname == "LOAD_GLOBAL"}


def _in_library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in LIBRARIES


def _content(value: Any, names: frozenset[str], known: dict[int, int]) -> Any:
    """As `content`; *names* as in `_copied`, and *known* numbers what was met, for functions that call each other."""
    if isinstance(value, (bool, int, float, complex, np.generic)):
        return type(value), repr(value)  # -0.0 is not 0.0, 1 not 1.0, and a NaN is itself
    if isinstance(value, tuple):
        return type(value), tuple(_content(part, names, known) for part in value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.dtype.str, value.shape, value.tobytes()
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = len(known)
    if isinstance(value, ModuleType) and not _in_library(value.__name__):
        return _content_of({name: getattr(value, name) for name in names if hasattr(value, name)}, names, known)
    function = getattr(value, "py_func", getattr(getattr(value, "_dispatcher", None), "py_func", value))
    if not isinstance(function, FunctionType) or _in_library(function.__module__):
        return value if hashable(value) else id(value)
    codes = list(codes_within(function.__code__))
    names = frozenset(name for code in codes for name in code.co_names)
    options = repr(sorted(getattr(value, "targetoptions", {}).items()))
    read = globals_read(codes) & function.__globals__.keys()
    references = {name: function.__globals__[name] for name in read}
    references[""] = (*cell_contents(function), *(function.__defaults__ or ()))
    return type(value), function.__code__, options, _content_of(references, names, known)


def _content_of(values: dict[str, Any], names: frozenset[str], known: dict[int, int]) -> Any:
    return tuple((name, _content(values[name], names, known)) for name in sorted(values) if not name.startswith("__"))
