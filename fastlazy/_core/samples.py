"""The samples of SGD, drawn or gathered where they are used.

Drawn are those of the quadratic target y = sum_i beta_i x_i^2 + b0, x ~ N(0, I), or those of two classes, y = 1 or -1
and x given y of independent entries with standard deviations spreads_y; gathered are rows of a data set. They come in
groups of four. One that is drawn has a stream of its own: which member of a team draws it, when, and in a block of what
size does not matter to its numbers. One that is gathered has the rows that an order says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastlazy._core.jit import jit
from fastlazy._core.layout import aligned_zeros, ceil_div, copy_to_panels, groups_of, padded
from fastlazy._core.normal import fill_normals, fill_signs
from fastlazy._core.team import take

_RUN = 64  # sums kept side by side, so that none waits for the one before it


class Given(NamedTuple):
    """A data set, and the order in which its rows are used; without rows, samples are drawn.

    Made by `given`: its arrays are read-only, so that one compiled function serves data of either kind.
    """

    X: np.ndarray  # (n, d)
    y: np.ndarray  # (n,)
    order: np.ndarray  # (groups of all blocks, 4) int64: rows; -1 for padding, a sample that is zero
    weight: np.ndarray  # (n,): what the squared error of each row counts; empty: all count 1


def given(X: np.ndarray, y: np.ndarray, order: np.ndarray, weight: np.ndarray | None = None) -> Given:
    """A data set X (n, d), y (n,), *weight* (n,) in the *order* (groups, 4) of its rows; nothing is copied."""
    weight = np.zeros(0, y.dtype) if weight is None else weight
    views = X.view(), y.view(), order.view(), weight.view()
    for view in views:
        view.flags.writeable = False
    return Given(*views)


class Samples(NamedTuple):
    """The samples of this block and of the next, in turn."""

    d: int
    beta: np.ndarray  # (4 d4,) eigenvalues of B, each four times, then zeros
    b0: float
    spreads: np.ndarray  # (2, 4 d4) as beta, for y = 1 and y = -1; (2, 0): the target is quadratic
    X: np.ndarray  # (2, groups, d4, 4) interleaved
    y: np.ndarray  # (2, 2, 4 groups): y, and the weights of the squared errors
    sums: np.ndarray  # (groups, _RUN): parts of y, or y over and over
    X_panels: np.ndarray  # (ceil(4 groups / width), d4, width), blocks of several minibatches only
    given: Given


def allocate_samples(
    beta: np.ndarray, b0: float, block: int, width: int, dtype: np.dtype, spreads: np.ndarray | None = None
) -> Samples:
    """Scratch for blocks of *block* samples; *width* of the panels, or 0 for none; *spreads* (2, d) of two classes."""
    d4, groups = padded(len(beta)), groups_of(block)
    classes = np.zeros((2, 0)) if spreads is None else np.pad(spreads, ((0, 0), (0, d4 - len(beta))))
    y = np.zeros((2, 2, 4 * groups), dtype)
    y[:, 1] = 1
    return Samples(
        d=len(beta),
        beta=np.repeat(np.pad(beta, (0, d4 - len(beta))), 4).astype(dtype),
        b0=float(b0),
        spreads=np.repeat(classes, 4, axis=1).astype(dtype),
        X=aligned_zeros((2, groups, d4, 4), dtype),
        y=y,
        sums=aligned_zeros((groups, _RUN), dtype),
        X_panels=aligned_zeros((ceil_div(4 * groups, width) if width else 0, d4, width), dtype),
        given=given(np.zeros((0, len(beta)), dtype), np.zeros(0, dtype), np.zeros((0, 4), np.int64)),
    )


@jit
def draw_block(board, member, members, key, first_group, half, samples):
    """Draw or gather one block of samples into *half* of their scratch, in place, together with the team."""
    X, y, given = samples.X[half], samples.y[half], samples.given
    g = take(board, len(X), member, members)
    while g < len(X):
        if len(given.X) > 0:
            gather_group(given, first_group + g, X[g], y[:, 4 * g : 4 * g + 4])
        elif samples.spreads.size > 0:
            place = y[0, 4 * g : 4 * g + 4]
            draw_group_of_classes(key, first_group + g, samples.d, samples.spreads, X[g], samples.sums[g], place)
        else:
            place = y[0, 4 * g : 4 * g + 4]
            draw_group(key, first_group + g, samples.d, samples.beta, samples.b0, X[g], samples.sums[g], place)
        if len(samples.X_panels) > 0:
            copy_to_panels(X[g], g, 0, X.shape[1], samples.X_panels)
        g = take(board, len(X), member, members)


@jit
def draw_group(key, stream, d, beta, b0, X, sums, y):
    """Draw four samples X (d4, 4) and their y (4,), in place: coordinate i of sample s is number 4 i + s."""
    x = X.reshape(X.size)
    fill_normals(np.uint64(key), np.uint64(stream), x[: 4 * d])
    whole = x.size // _RUN * _RUN
    sums[:] = 0
    for start in range(0, whole, _RUN):
        for j in range(_RUN):
            sums[j] += beta[start + j] * x[start + j] * x[start + j]
    for j in range(x.size - whole):
        sums[j] += beta[whole + j] * x[whole + j] * x[whole + j]
    y[:] = b0
    for j in range(_RUN):
        y[j % 4] += sums[j]


@jit
def draw_group_of_classes(key, stream, d, spreads, X, signs, y):
    """Draw four samples X (d4, 4) of either class and their y (4,), in place, numbered as in `draw_group`.

    The normals are those that `draw_group` has. *signs* (_RUN,) is scratch.
    """
    x = X.reshape(X.size)
    fill_normals(np.uint64(key), np.uint64(stream), x[: 4 * d])
    fill_signs(np.uint64(key), np.uint64(stream), y)
    # A whole run of signs lies beside a run of numbers, so that the choice of a class is one of vector lanes.
    for j in range(_RUN):
        signs[j] = y[j % 4]
    whole = x.size // _RUN * _RUN
    for start in range(0, whole, _RUN):
        for j in range(_RUN):
            x[start + j] *= spreads[0, start + j] if signs[j] > 0 else spreads[1, start + j]
    for j in range(x.size - whole):
        x[whole + j] *= spreads[0, whole + j] if signs[j] > 0 else spreads[1, whole + j]


@jit
def gather_group(given, group, X, y):
    """Gather four samples X (d4, 4), their y and, if they have any, their weights y (2, 4), in place."""
    d = given.X.shape[1]
    for s in range(4):
        row = given.order[group, s]
        if row < 0:
            y[0, s] = 0
            for k in range(d):
                X[k, s] = 0
        else:
            y[0, s] = given.y[row]
            if given.weight.size > 0:
                y[1, s] = given.weight[row]
            for k in range(d):
                X[k, s] = given.X[row, k]
