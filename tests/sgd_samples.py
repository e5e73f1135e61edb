"""The samples that `fastlazy.fit_nn` draws, as its documentation says that it draws them."""

from __future__ import annotations

import naive_normal
import numpy as np

from fastlazy._core import normal
from fastlazy._core import sgd as core


def drawn_samples(key, n, b, d, N, second_layer, dtype, activation="square"):
    """The samples of a run, in the eigenbasis of B, from their documented streams."""
    return _drawn(key, n, b, d, N, second_layer, dtype, activation)[0]


def drawn_classes(key, n, b, spreads, N, second_layer, dtype, activation="square"):
    """The samples (n, d) of a run on two classes, in their modes, and their y (n,); spreads (2, d) for y = 1 and -1."""
    g, streams = _drawn(key, n, b, len(spreads[0]), N, second_layer, dtype, activation)
    y = np.array([naive_normal.signs(int(key), stream)[member] for stream, member in streams])
    return np.where(y[:, None] > 0, spreads[0], spreads[1]) * g, y


def _drawn(key, n, b, d, N, second_layer, dtype, activation):
    """Normals (n, d), and the stream of each sample and its number in it.

    Group q of four samples is stream q; a block, of several small minibatches or one, begins a new group, as
    do the minibatches left at the end and the smaller last one.
    """
    trained = core.FREE if second_layer == "free" else core.FIXED
    m = core.minibatches_per_block(b, activation == "square" and core.has_coefficients(min(N, d), trained))
    groups = -(-b * m // 4)
    whole, rest = divmod(n, b)
    rows, streams, stream = [], [], 0
    for size in [b * m] * (whole // m) + [whole % m * b, rest]:
        if size == 0:
            continue
        block, first = [], stream
        for _ in range(groups):
            numbers = np.empty(4 * d, dtype)
            normal.fill_normals(np.uint64(key), np.uint64(stream), numbers)
            block.append(numbers.reshape(d, 4).T)
            stream += 1
        rows.append(np.vstack(block)[:size])
        streams += [(first + k // 4, k % 4) for k in range(size)]
    return np.vstack(rows).astype(float), streams
