"""Red zones: every NumPy array lies between guarded stretches of memory, which are looked at after each test.

A compiled function that writes past the end of an array, or before its beginning, spoils memory that belongs to
another; what that does may show much later, elsewhere, or never. So this plugin gives NumPy an allocator of its own
(NEP 49). It surrounds each block with `GUARD` known bytes on both sides. It looks at them when the block is freed and,
for blocks that live on, at the end of each test, which then fails. A block begins `OFFSET` bytes after a line of the
cache: an array that `fastlazy._core.layout.aligned_zeros` moves to the next line ends exactly where the guard begins.

The known bytes are NaN, and so is memory that was asked for without zeros: what is read outside of an array, or before
it was written, shows in results.

The allocator is compiled by numba, so that it costs a fraction of a microsecond.
"""

from __future__ import annotations

import ctypes

import numba
import numpy as np
import pytest
from numba import types

GUARD = 2048  # more than a register tile can write beyond its last row
OFFSET = 16
LINE = 64
_PATTERN = 0x7FFCA5A57FFCA5A5  # NaN as float64 and as two float32, whatever the low 16 bits of either half
_WORDS = GUARD // 8
# Before the block: its links in the list of those in use, its size and where the memory begins.
_NEXT, _PREVIOUS, _SIZE, _BASE, _HEADER = 0, 1, 2, 3, 4

_malloc = types.ExternalFunction("malloc", types.voidptr(types.uint64))
_free = types.ExternalFunction("free", types.void(types.voidptr))
_memset = types.ExternalFunction("memset", types.voidptr(types.voidptr, types.int32, types.uint64))
_memcpy = types.ExternalFunction("memcpy", types.voidptr(types.voidptr, types.voidptr, types.uint64))
"""The C library's."""


@numba.extending.intrinsic
def _read(typingctx, address):
    def codegen(context, builder, signature, args):
        word = context.get_value_type(types.uint64).as_pointer()
        load = builder.load(builder.inttoptr(args[0], word))
        load.align = 1
        return load

    return types.uint64(types.uint64), codegen


@numba.extending.intrinsic
def _write(typingctx, address, value):
    def codegen(context, builder, signature, args):
        word = context.get_value_type(types.uint64).as_pointer()
        store = builder.store(args[1], builder.inttoptr(args[0], word))
        store.align = 1
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), codegen


@numba.extending.intrinsic
def _number(typingctx, address):
    """Address of a pointer, as a number."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], context.get_value_type(types.uint64))

    return types.uint64(types.voidptr), codegen


@numba.extending.intrinsic
def _pointer(typingctx, address):
    """The pointer to an address."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.uint64), codegen


_U = np.uint64


@numba.njit
def _known(address):
    """What a guard holds at an address, and nowhere near: NaN read beyond one array may be written beyond another."""
    place = (address >> _U(3)) & _U(0xFFFF)
    return _U(_PATTERN) ^ place ^ (place << _U(32))


@numba.njit
def _guard(first, size):
    """Write the guards around a block."""
    for word in range(_WORDS):
        before, after = first - _U(8) * _U(word + 1), first + size + _U(8) * _U(word)
        _write(before, _known(before))
        _write(after, _known(after))


@numba.njit
def _place(state, size):
    """A guarded block of *size* bytes, the first in the list; its address, or 0."""
    base = _number(_malloc(_U(2 * GUARD + 8 * _HEADER + 2 * LINE) + size))
    if base == _U(0):
        return base
    first = (base + _U(GUARD + 8 * _HEADER + LINE)) // _U(LINE) * _U(LINE) + _U(OFFSET)
    header = first - _U(GUARD + 8 * _HEADER)
    _guard(first, size)
    following = _read(state)
    _write(header + _U(8 * _NEXT), following)
    _write(header + _U(8 * _PREVIOUS), state)
    _write(header + _U(8 * _SIZE), size)
    _write(header + _U(8 * _BASE), base)
    _write(state, header)
    if following != _U(0):
        _write(following + _U(8 * _PREVIOUS), header)
    return first


@numba.njit
def _spoiled(header):
    """Whether a guard of the block is not as it was."""
    first, size = header + _U(GUARD + 8 * _HEADER), _read(header + _U(8 * _SIZE))
    for word in range(_WORDS):
        before, after = first - _U(8) * _U(word + 1), first + size + _U(8) * _U(word)
        if _read(before) != _known(before) or _read(after) != _known(after):
            return True
    return False


@numba.njit
def _release(state, first):
    """Free a block; the second word of *state* counts those with a spoiled guard, the third has the last one's size."""
    if first == _U(0):
        return
    header = first - _U(GUARD + 8 * _HEADER)
    if _spoiled(header):
        _write(state + _U(8), _read(state + _U(8)) + _U(1))
        _write(state + _U(16), _read(header + _U(8 * _SIZE)))
    following, previous = _read(header + _U(8 * _NEXT)), _read(header + _U(8 * _PREVIOUS))
    _write(previous if previous == state else previous + _U(8 * _NEXT), following)
    if following != _U(0):
        _write(following + _U(8 * _PREVIOUS), previous)
    _free(_pointer(_read(header + _U(8 * _BASE))))


@numba.njit
def _look(state):
    """Count the blocks in use that have a spoiled guard, and guard those anew."""
    header = _read(state)
    while header != _U(0):
        if _spoiled(header):
            size = _read(header + _U(8 * _SIZE))
            _write(state + _U(8), _read(state + _U(8)) + _U(1))
            _write(state + _U(16), size)
            _guard(header + _U(GUARD + 8 * _HEADER), size)
        header = _read(header + _U(8 * _NEXT))


@numba.cfunc(types.voidptr(types.voidptr, types.uint64))
def _allocate(context, size):
    first = _place(_number(context), size)
    if first != _U(0):
        for word in range(size // _U(8)):
            _write(first + _U(8) * _U(word), _U(_PATTERN))
    return _pointer(first)


@numba.cfunc(types.voidptr(types.voidptr, types.uint64, types.uint64))
def _allocate_zeros(context, count, size):
    block = _pointer(_place(_number(context), count * size))
    if _number(block) != _U(0):
        _memset(block, np.int32(0), count * size)
    return block


@numba.cfunc(types.voidptr(types.voidptr, types.voidptr, types.uint64))
def _reallocate(context, block, size):
    state, before = _number(context), _number(block)
    new = _place(state, size)
    if before != _U(0) and new != _U(0):
        _memcpy(_pointer(new), block, min(size, _read(before - _U(GUARD + 8 * _HEADER) + _U(8 * _SIZE))))
        _release(state, before)
    return _pointer(new)


@numba.cfunc(types.void(types.voidptr, types.voidptr, types.uint64))
def _deallocate(context, block, size):
    _release(_number(context), _number(block))


class _Allocator(ctypes.Structure):
    """PyDataMemAllocator of NumPy's C API."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")]


class _Handler(ctypes.Structure):
    """PyDataMem_Handler of NumPy's C API."""

    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("allocator", _Allocator)]


_state = (ctypes.c_uint64 * 3)()  # the first block in use, how many had a spoiled guard, the size of the last of them
_STATE = _U(ctypes.addressof(_state))
_functions = (_allocate, _allocate_zeros, _reallocate, _deallocate)
_handler = _Handler(
    b"red zones", 1, _Allocator(ctypes.addressof(_state), *(function.address for function in _functions))
)
_SET_HANDLER = 304  # place of PyDataMem_SetHandler in the table of NumPy's C API


def _capsule(name: bytes, pointer: int) -> object:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(pointer, name, None)


def _set_handler(capsule: object) -> object:
    """Make NumPy allocate through the handler of a capsule; the one before."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    table = ctypes.cast(pointer(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    function = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])
    return function(capsule)


_NAME = b"mem_handler"
_guarded = _capsule(_NAME, ctypes.addressof(_handler))


def spoiled_blocks() -> tuple[int, int]:
    """How many guards have been found spoiled since the last call, and the size in bytes of the last such block."""
    _look(_STATE)
    count, size = int(_state[1]), int(_state[2])
    _state[1] = 0
    return count, size


def pytest_configure(config):
    """Guard all arrays that are made from now on."""
    _look(_STATE)  # compiled before the first array is guarded
    _set_handler(_guarded)


@pytest.fixture(autouse=True)
def red_zones():
    """Fail a test that wrote outside an array."""
    yield
    count, size = spoiled_blocks()
    if count:
        pytest.fail(
            f"memory outside of {count} arrays was written to; the last of them has {size} bytes", pytrace=False
        )
