"""A team of threads that works through small items together, in compiled code.

Between two phases of a step there are microseconds, too few for the thread pools that numba offers, so
the members stay in one compiled call and meet at barriers in memory. Within a phase each member takes its
own share of the items, the same part of the whole in every phase, so that what it needs is still in its
cache; then what is left of the others' shares, so that a core slowed by something else does not hold up the
rest. Which member computes an item does not matter to its result.

A `board` (int64, `board_size`) is what a team shares. All members must run at once, on threads of their own;
a member that waits longer than a moment gives up its time slice, so more members than cores is slow but
not a deadlock.
"""

from __future__ import annotations

import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastlazy._core.jit import jit

# Entries stand 16 apart, a cache line of their own or two, so that members do not contend for them.
_APART = 16
_ARRIVED, _ROUND, _STOPPED, _TAKEN = 0, _APART, 2 * _APART, 3 * _APART  # _TAKEN: one entry for each member

_SPINS = 1000  # about as long as a barrier of busy members takes


def board_size(members: int) -> int:
    """Entries of the board of a team; a fresh board is all zeros."""
    return _TAKEN + members * _APART


@jit
def take(board, items, member, members):
    """An item below *items* that nobody has taken, or *items* if all are or the team was stopped."""
    if _load(board, _STOPPED) != 0:
        return items
    for k in range(members):
        owner = (member + k) % members
        start, stop = items * owner // members, items * (owner + 1) // members
        entry = _TAKEN + owner * _APART
        if start + _load(board, entry) < stop:
            item = start + _fetch_add(board, entry, 1)
            if item < stop:
                return item
    return items


@jit
def meet(board, members):
    """Wait until all *members* are here, and put the items back; False if the team was stopped."""
    current = _load(board, _ROUND)
    if _fetch_add(board, _ARRIVED, 1) == members - 1:
        board[_ARRIVED] = 0
        for owner in range(members):
            board[_TAKEN + owner * _APART] = 0
        _fetch_add(board, _ROUND, 1)
    else:
        spins = 0
        while _load(board, _ROUND) == current and _load(board, _STOPPED) == 0:
            spins += 1
            if spins > _SPINS:
                _give_way()
    return _load(board, _STOPPED) == 0


def stop(board: np.ndarray) -> None:
    """Send every member home, before its next item or at its next barrier; called from the interpreter, in place."""
    board[_STOPPED] = 1


@intrinsic
def _fetch_add(typingctx, board, index, value):
    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", _entry(context, builder, signature, args), args[2], "seq_cst")

    return types.int64(board, types.int64, types.int64), codegen


@intrinsic
def _load(typingctx, board, index):
    def codegen(context, builder, signature, args):
        return builder.load_atomic(_entry(context, builder, signature, args), "seq_cst", 8)

    return types.int64(board, types.int64), codegen


def _entry(context, builder, signature, args):
    return builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])


@intrinsic
def _give_way(typingctx):
    """Offer the rest of the time slice to other threads."""
    name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"

    def codegen(context, builder, signature, args):
        function_type = ir.FunctionType(ir.IntType(32), [])
        function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen
