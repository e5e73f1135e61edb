"""A function of one number, applied in compiled code that was compiled without knowing it.

A kernel compiled for each non-linearity would be compiled again for every new one. So the function becomes a
loop of its own, ``x[i] = f(x[i])`` over a run of numbers that is still in the cache, and the kernel gets the
address of the loop: one indirect call for hundreds of numbers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic


def loop_address(function: Any, dtype: Any) -> int:
    """Address of the compiled loop that applies *function*, itself compiled, to numbers of *dtype* in place."""
    return _loop(function, np.dtype(dtype))[1]


@cache
def _loop(function: Any, dtype: np.dtype) -> tuple[Any, int]:
    """The loop, which must live as long as its address is used, and the address."""

    def loop(pointer, count):  # type: ignore[no-untyped-def]
        x = carray(pointer, count)
        for i in range(count):
            x[i] = function(x[i])

    dispatcher = numba.njit(nogil=True, error_model="numpy")(loop)
    signature = (types.CPointer(numba.from_dtype(dtype)), types.int64)
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    return dispatcher, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


@intrinsic  # type: ignore[untyped-decorator]
def call_loop(typingctx, address, pointer, count):  # type: ignore[no-untyped-def]
    """Run the loop at *address* on *count* numbers from *pointer* on; True if it raised no error."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        address, pointer, count = args
        # How numba calls: room for the result and for an exception, then the arguments; a status comes back.
        room = ir.IntType(8).as_pointer()
        status, i64 = ir.IntType(32), ir.IntType(64)
        function = ir.FunctionType(status, [room.as_pointer(), room.as_pointer(), pointer.type, i64])
        called = builder.inttoptr(address, function.as_pointer())
        result, error = builder.alloca(room), builder.alloca(room)
        code = builder.call(called, [result, error, pointer, count])
        return builder.icmp_signed("==", code, ir.Constant(status, 0))

    return types.boolean(types.int64, pointer, types.int64), codegen
