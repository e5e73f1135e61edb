"""Products in register tiles, and the layouts they read and write, against plain matrix products."""

import numpy as np
import pytest

from fastlazy._core import layout, moves, tile
from fastlazy._core.geometry import HEIGHT, NARROW, REGISTER_BYTES, WIDE

DTYPES = [np.float32, np.float64]


def lanes(dtype):
    return REGISTER_BYTES // np.dtype(dtype).itemsize


def whole(dtype, *shape):
    """Small whole numbers: their products and sums are exact in any order."""
    return np.random.default_rng(shape).integers(-9, 10, shape).astype(dtype)


def interleaved(X):
    """X (n, d), both multiples of four, as X[s // 4, i, s % 4]."""
    n, d = X.shape
    return np.ascontiguousarray(X.reshape(n // 4, 4, d).transpose(0, 2, 1))


def in_panels(X, width):
    """The rows of X (n, d) as columns of panels (panels, d, width)."""
    n, d = X.shape
    columns = np.zeros((-(-n // width) * width, d), X.dtype)
    columns[:n] = X
    return np.ascontiguousarray(columns.reshape(-1, width, d).transpose(0, 2, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", [WIDE, NARROW])
@pytest.mark.parametrize("own", [4, 8, 12, 24])
@pytest.mark.parametrize("groups", [1, 2, 5, 24])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("start", "depth"), [(0, 4), (0, 52), (8, 44)])
def test_multiply_panels(dtype, vectors, own, groups, accumulate, start, depth):
    """Both sides in panels, each of a width of its own, from any group of four on."""
    width, first = vectors * lanes(dtype), 8
    X, P = whole(dtype, first + 4 * groups, 52), whole(dtype, 52, width)
    C = whole(dtype, 4 * groups, width)  # what is beyond it is guarded
    expected = accumulate * C + X[first:, start : start + depth] @ P[start : start + depth]
    last = first + 4 * groups
    tile.multiply_panels(in_panels(X, own), first, last, P, start, depth, accumulate, C, P, 52 - depth)
    np.testing.assert_array_equal(C, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", [WIDE, NARROW])
@pytest.mark.parametrize("groups", [1, 2, 3, 4, 5, 24, 25])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("start", "depth"), [(0, 4), (0, 52), (8, 4), (4, 44)])
def test_multiply(dtype, vectors, groups, accumulate, start, depth):
    width, first = vectors * lanes(dtype), 2
    X, P = whole(dtype, 4 * (first + groups), 52), whole(dtype, 52, width)
    C = whole(dtype, 4 * groups, width)  # what is beyond it is guarded
    A = X[4 * first :, start : start + depth]
    expected = accumulate * C + A @ P[start : start + depth]
    tile.multiply(interleaved(X), first, first + groups, P, start, depth, accumulate, C)
    np.testing.assert_array_equal(C, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", [WIDE, NARROW])
@pytest.mark.parametrize(("first", "last"), [(0, 1), (0, 2), (1, 4), (3, 13), (0, 13)])
@pytest.mark.parametrize("samples", [4, 48])
def test_add_transposed(dtype, vectors, first, last, samples):
    width = vectors * lanes(dtype)
    X, P, C = whole(dtype, samples, 52), whole(dtype, samples, width), whole(dtype, 52, width)
    expected = C.copy()
    expected[4 * first : 4 * last] += X.T[4 * first : 4 * last] @ P
    tile.add_transposed(interleaved(X), P, first, last, C)
    np.testing.assert_array_equal(C, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 4, 5, HEIGHT + 1, 97])
def test_layouts(dtype, n):
    """Rows to groups, and groups to panels; what pads them stays zero."""
    A = whole(dtype, n, 7)
    width = layout.panel_width(n, dtype)
    rows = np.zeros((layout.groups_of(n), layout.padded(7), 4), dtype)
    panels = np.zeros((layout.ceil_div(layout.padded(n), width), layout.padded(7), width), dtype)
    for g in range(len(rows)):
        layout.interleave(A, g, rows[g])
        layout.copy_to_panels(rows[g], g, 0, 8, panels)
    padded = np.pad(A, ((0, 4 * len(rows) - n), (0, 1)))
    np.testing.assert_array_equal(rows, interleaved(padded))
    columns = panels.transpose(1, 0, 2).reshape(8, -1)
    np.testing.assert_array_equal(columns[:, : len(padded)], padded.T)
    assert not columns[:, len(padded) :].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 5, 16, 31, 97])
@pytest.mark.parametrize("d", [1, 7, 16, 50])
def test_operands(dtype, n, d):
    """Rows to the columns of panels that hold whole groups of four; what pads them stays zero."""
    A, panels = whole(dtype, n, d), layout.allocate_panels(n, d, dtype)
    for p, panel in enumerate(panels):
        moves.fill_panel(A, p, panel)
    width = panels.shape[2]
    assert width == layout.panel_width(n, dtype)
    np.testing.assert_array_equal(panels, in_panels(np.pad(A, ((0, 0), (0, -d % 4))), width))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (16, 16), (33, 40), (8, 50)])
def test_turn(dtype, rows, columns):
    """A corner of one matrix becomes the transposed corner of another, and no other number changes."""
    A, B = whole(dtype, rows + 3, columns + 5), whole(dtype, columns + 4, rows + 6)
    expected = B.copy()
    expected[3 : 3 + columns, 5 : 5 + rows] = A[2 : 2 + rows, 4 : 4 + columns].T
    moves.turn(A, 2, 4, rows, columns, B, 3, 5)
    np.testing.assert_array_equal(B, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_panels_are_narrow_where_that_saves_padding(dtype):
    """Or where a wide panel is not of whole groups of four."""
    one = lanes(dtype)
    wide = 3 * one if 3 * one % 4 == 0 else 2 * one
    assert layout.panel_width(3 * one, dtype) == wide
    assert layout.panel_width(4 * one, dtype) == 2 * one
    assert layout.panel_width(1000 * one, dtype) == wide
    for columns in range(1, 200):
        width = layout.panel_width(columns, dtype)
        assert width in (2 * one, 3 * one)
        assert width % 4 == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 1, 48), (0, 4)])
def test_aligned_zeros(dtype, shape):
    zeros = layout.aligned_zeros(shape, dtype)
    assert zeros.shape == shape
    assert zeros.dtype == dtype
    assert zeros.size == 0 or zeros.ctypes.data % 64 == 0
    assert not zeros.any()


def test_blocks_hold_whole_panels_and_groups():
    """Rows of blocks count as columns of panels elsewhere: a panel must not reach into the next block."""
    from fastlazy._core import gram, tangent

    for dtype in DTYPES:
        for vectors in (NARROW, WIDE):
            assert gram.ROWS % (vectors * lanes(dtype)) == 0
    assert gram.ROWS % layout.INTERLEAVE == gram.DEPTH % layout.INTERLEAVE == gram.INNER % layout.INTERLEAVE == 0
    assert gram.WORD % layout.INTERLEAVE == tangent.CHUNK % layout.INTERLEAVE == 0
