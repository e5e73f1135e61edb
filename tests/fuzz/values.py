"""Values for arguments: good ones, odd ones (an answer or a clear error is right), bad ones (only an error is)."""

from __future__ import annotations

import copy
import decimal
import fractions
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse

_SMALL = (1e-300, 1e-160, 1e-80, 1e-20, 1e-12, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
_LARGE = (10.0, 100.0, 1e4, 1e8, 1e20, 1e77, 1e100, 1e154, 1e160, 1e300)
ODD_SIZES = (*_SMALL, *_LARGE)


class Value(NamedTuple):
    """What is passed, how good it is, and the float64 array or number that it means."""

    value: Any
    kind: str = "good"
    plain: Any = None


class Draw:
    """The random choices of one call, which depend on its seed and index alone."""

    def __init__(self, seed: int, index: int, folder: Any = None) -> None:
        self.rng = np.random.default_rng([seed, index])
        self.index, self.folder = index, folder
        self.spoil = self.pick([0.0, 0.15, 0.3, 0.6, 0.9])  # the share of arguments that are odd or bad
        self.spoilt = self.pick([["odd"], ["odd"], ["odd", "bad"]])

    def good_only(self) -> Draw:
        """This draw, with good values alone."""
        other = copy.copy(self)
        other.spoil = 0.0
        return other

    def pick(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def size(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def kind(self) -> str:
        return self.pick(self.spoilt) if self.chance(self.spoil) else "good"

    def one_of(self, good: Any, odd: Any = (), bad: Any = ()) -> Value:
        """One of the values of a kind; a good one where there is none of that kind. Callables are called."""
        kind = self.kind()
        choices = {"good": good, "odd": odd, "bad": bad}[kind]
        if not len(choices):
            kind, choices = "good", good
        value = self.pick(choices)
        value = value.make() if isinstance(value, Made) else value
        return Value(value, kind, value)


class Made(NamedTuple):
    """A value that is made anew for each call."""

    make: Any


def strange(none: bool = True) -> list[Any]:
    """What no number, array or option is."""
    found = [
        "abc", "", b"abc", object(), {}, {"a": 1}, {1, 2}, [], [[]], ..., int, len, 1j, np.datetime64("2020-01-01"),
        Made(lambda: (i for i in range(3))), Made(lambda: iter([])), [[1.0, 2.0], [3.0]], [None, 1.0], ["a", "b"],
        Made(lambda: scipy.sparse.csr_matrix(np.eye(3))), Made(lambda: pd.DataFrame({"a": ["x", "y"]})),
        np.array([1 + 2j, 3]), np.array(["1.0", "2.0"]), np.array([], float), np.zeros((0, 3)), np.zeros((3, 0)),
        np.ma.array([1.0], mask=[True]), pd.NA, pd.NaT, np.array([object()]), Exception("a"), slice(3),
    ]  # fmt: skip
    return [*found, None] if none else found


def count(draw: Draw, good: int, *, minimum: int = 1, none: bool = True, odd: Any = ()) -> Value:
    """A whole number; *odd* are further ones that may be refused."""
    same = [np.int64(good), np.int32(good), float(good), np.float64(good), np.float32(good), np.array(good)]
    same += [np.array([good]), fractions.Fraction(good), decimal.Decimal(good), pd.Series([good])]
    bad = [minimum - 1, -1, -(10**20), good + 0.5, np.nan, np.inf, -np.inf, str(good), 10**400, 1e300, True, np.True_]
    bad += [np.array([1, 2]), np.array([[1.0]]) * np.nan, f"{good}.0", *strange(none)]
    found = draw.one_of([good], [*same, *odd], bad)
    return found._replace(plain=int(good) if _same(found.value, good) else found.value)


def _same(value: Any, good: Any) -> bool:
    try:
        return bool(np.all(np.asarray(value) == good))
    except (TypeError, ValueError, OverflowError):
        return False


def real(draw: Draw, good: Any, *, low: float = -np.inf, none: bool = True, odd: Any = ()) -> Value:
    """A real number; one below *low* is bad."""
    number = draw.pick(good)
    same = [np.float32(number), np.array(number), np.longdouble(number), fractions.Fraction(number), *odd]
    same += [decimal.Decimal(number)]
    same += [v for v in (0, 0.0, -0.0, 5e-324, 1e-300, 1e-150, 1e77, 1e150, 1e160, 1e308, -1e160, -1.0) if v >= low]
    bad = [
        np.nan,
        np.inf,
        -np.inf,
        10**400,
        f"{number}",
        True,
        np.False_,
        np.array([1.0, 2.0]),
        np.float32("nan"),
        *strange(none),
    ]
    bad += [] if low == -np.inf else [low - 1, low - 1e-9, -1e300]
    found = draw.one_of([number], same, bad)
    if found.kind == "bad":
        return found
    plain = float(found.value)
    return Value(found.value, found.kind if low <= plain < np.inf else "bad", plain)


def flag(draw: Draw) -> Value:
    """A boolean."""
    odd = [0, 1, np.True_, np.False_, None, "yes", "", 2, np.nan, np.array([True, False]), np.array(True), [1], pd.NA]
    found = draw.one_of([True, False], odd)
    try:
        return found._replace(plain=bool(found.value))
    except (TypeError, ValueError):  # of no truth
        return found._replace(plain=False)


def seed(draw: Draw) -> Value:
    """A source of randomness that can be had again."""
    k = draw.size(0, 99)
    good = [k, Made(lambda: np.random.SeedSequence(k)), Made(lambda: np.random.default_rng(k))]
    odd = [np.int64(k), np.uint8(k), 2**70, np.array(k), None, Made(lambda: np.random.RandomState(k))]
    bad = [-1, 1.5, True, np.nan, [1, 2], np.array([1.5, 2]), *strange(none=False)]
    return draw.one_of(good, odd, bad)


def option(draw: Draw, names: Any, none: bool = True) -> Value:
    """A name out of some."""
    bad = ["nothing", "", names[0].upper(), " " + names[0], names[0].encode(), [names[0]], 1, True, np.nan]
    return draw.one_of(list(names), (), [*bad, *strange(none)])


def numbers(draw: Draw, shape: tuple[int, ...], odd: bool = False) -> np.ndarray:
    """A float64 array of ordinary numbers, or of odd size, with zeros, or rows that are nearly or exactly alike."""
    rng = draw.rng
    base = rng.standard_normal(shape) / np.sqrt(shape[-1]) * draw.pick([1.0, 1.0, 0.3, 3.0])
    style = draw.pick(["plain", "plain", "integers", "unit"])
    if style == "integers":
        base = np.sign(base) * np.ceil(np.abs(base))
    elif style == "unit" and len(shape) == 2:
        base /= np.linalg.norm(base, axis=1, keepdims=True)
    if not odd:
        return base
    style = draw.pick([*["size"] * 6, "rows", "same", "near", "near", "opposite", "zero row", "zeros", "rank", "entry"])
    if style == "size":
        base *= draw.pick(ODD_SIZES)
    elif style == "rows":  # of lengths that differ
        base *= np.array([draw.pick(ODD_SIZES) for _ in range(shape[0])]).reshape(-1, *[1] * (len(shape) - 1))
    elif style == "same":
        base[-1] = base[0]
    elif style == "near":
        base[-1] = base[0] + 10.0 ** -draw.size(3, 15) * np.abs(base).max() * rng.standard_normal(shape[1:])
    elif style == "opposite":
        base[-1] = -base[0] * draw.pick([1.0, 2.0])
    elif style == "zero row":
        base[draw.size(0, shape[0] - 1)] = 0
    elif style == "zeros":
        base *= 0
    elif style == "rank":
        base = np.outer(rng.standard_normal(shape[0]), rng.standard_normal(base[0].size)).reshape(shape)
    else:
        base[tuple(draw.size(0, n - 1) for n in shape)] = draw.pick(ODD_SIZES)
    return base


def array(draw: Draw, shape: tuple[int, ...], *, none: bool = True, bad: Any = (), base: Any = None) -> Value:
    """An array of that shape, in one of many forms; *bad* are further bad ones."""
    kind = draw.kind()
    if kind == "bad":
        value = draw.pick([*bad, *_bad_arrays(draw, shape), *strange(none)])
        return Value(value.make() if isinstance(value, Made) else value, "bad")
    odd = kind == "odd"
    plain = numbers(draw, shape, odd and draw.chance(0.7)) if base is None else base
    with np.errstate(all="ignore"):
        value = draw.pick(_ODD_FORMS if odd and draw.chance(0.4) else _FORMS)(plain)
        if kind == "good" and getattr(value, "dtype", None) == np.int64 and not np.any(value):
            value = plain
        try:
            plain = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            return Value(value, "bad")
    return Value(value, kind if np.isfinite(plain).all() else "bad", plain)


def _strided(x: np.ndarray) -> np.ndarray:
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan)
    wide[..., ::2] = x
    return wide[..., ::2]


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


_FORMS = [np.copy, np.copy, np.copy, np.asfortranarray, _strided, _read_only, np.ndarray.tolist]
_FORMS += [lambda x: x.astype(np.float32), lambda x: np.round(x).astype(np.int64), lambda x: x[::-1].copy()[::-1]]
_ODD_FORMS = [
    lambda x: x.astype(np.float16), lambda x: x.astype(np.longdouble), lambda x: x.astype(">f8"),
    lambda x: np.ma.masked_array(x), lambda x: x > 0, lambda x: x.astype(object), lambda x: np.round(x).astype(np.int8),
    lambda x: pd.DataFrame(x) if x.ndim == 2 else pd.Series(x.ravel()), lambda x: tuple(map(tuple, np.atleast_2d(x))),
    lambda x: pd.DataFrame(x).astype("Float64") if x.ndim == 2 else pd.Series(x.ravel(), dtype="Float64"),
    lambda x: np.asmatrix(x) if x.ndim == 2 else x, lambda x: memoryview(np.ascontiguousarray(x)),
]  # fmt: skip


def _bad_arrays(draw: Draw, shape: tuple[int, ...]) -> list[Any]:
    x = numbers(draw, shape)

    def spoiled(value: float, dtype: Any = np.float64) -> np.ndarray:
        y = x.astype(dtype)
        y.flat[draw.size(0, y.size - 1)] = value
        return y

    mask = np.zeros(shape, bool)
    mask.flat[0] = True
    table = pd.DataFrame(x.reshape(len(x), -1)).astype("Float64")
    table.iloc[0, 0] = pd.NA
    return [
        spoiled(np.nan), spoiled(np.inf), spoiled(-np.inf), spoiled(np.nan, np.float32), x[..., None], x + 1j,
        x.astype(str), np.ma.masked_array(x, mask), table, x[..., :0], x[:0], x.astype("datetime64[s]"), [list(x), 1],
        Made(lambda: iter(x)), Made(lambda: scipy.sparse.csr_matrix(x.reshape(len(x), -1))), [*x.tolist(), [1.0] * 99],
    ]  # fmt: skip
