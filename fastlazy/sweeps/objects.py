"""Targets and non-linearities of the user's in cells of a sweep: by value, and known by their content.

A cell may have a target that is a matrix, a `QuadraticTarget` or a `GaussianMixture`, and an `Activation`. What enters
the cell's id is a digest of the content, so that the same object has the same id in every process. Tables show the
object's name and the first digits of the digest; a store keeps the content once, however many cells have it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array, check_symmetric, shown
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import check_activation, get_activation, is_builtin
from fastlazy.targets.library import Target
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction, QuadraticTarget

OBJECT_KEYS = ("target", "activation")  # the keys of a cell that may have an object
_DIGITS = 12  # of a digest that tables show
_LONGEST = 40  # characters of a name


@dataclass(frozen=True)
class Own:
    """An object of the user's, as the canonical parameters of a cell have it.

    Attributes
    ----------
    name : str
        What tables call it.
    digest : str
        The SHA-256 of its content, 64 digits.
    value : QuadraticTarget, GaussianMixture or Activation
    """

    name: str
    digest: str
    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and (self.name, self.digest) == (other.name, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.digest))

    def __repr__(self) -> str:
        return f"{self.name} {self.reference}"

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.value, Activation):
            return Own, (self.name, self.digest, self.value)
        return _received, (self.name, self.digest, content(self.value))

    @property
    def reference(self) -> str:
        """What the rows of a store have in its place."""
        return f"#{self.digest[:_DIGITS]}"


def _received(name: str, digest: str, stored: bytes) -> Own:
    """A target that came with a cell: the same one as before, whose decompositions are known."""
    kept = _place(digest)
    if not kept:
        kept.append(target_of(stored))
    return Own(name, digest, kept[0])


@lru_cache(maxsize=4)  # targets may be large
def _place(digest: str) -> list[Target]:
    """Where a worker keeps the target of that digest."""
    return []


def cell_activation(parameters: Mapping[str, Any]) -> Activation:
    """The non-linearity of a cell with canonical *parameters*."""
    value = parameters["activation"]
    return value.value if isinstance(value, Own) else get_activation(value)


def own_object(key: str, value: Any) -> Any:
    """The object that *value* of this *key* of a cell is; *value* where it is none, such as a name or eigenvalues.

    Raises
    ------
    TypeError, ValueError
        If it is a matrix that is no target, or nothing can be learned of it; an `Activation` that has no identity
        outside of this process; or its name cannot be shown in a table.
    """
    if key == "activation" and callable(value):
        value = check_activation(value)
    if isinstance(value, Activation):
        return value.name if is_builtin(value) else Own(_check_label(key, value.name), value.identity, value)
    if isinstance(value, (str, Own)) or key != "target":
        return value
    label, inner = _label_and_value(value)
    target = _target(key, inner, label is not None)
    if target is None:
        return value
    if not target.null_risk > 0:
        raise ValueError(f"{key} is zero, so that there is nothing to learn; pass another matrix")
    kind = "mixture" if isinstance(target, GaussianMixture) else "quadratic"
    return Own(kind if label is None else _check_label(key, label), sha256(content(target)).hexdigest(), target)


def name_shown(text: Any) -> str | None:
    """The name of the object that a table has *text* for, None if it is of no object."""
    found = re.fullmatch(rf"(.+) #[0-9a-f]{{{_DIGITS}}}", text) if isinstance(text, str) else None
    return found[1] if found else None


class Holder:
    """Makes each object of many cells once, one for all that have the same content.

    Parameters
    ----------
    settled : bool
        Whether arrays that the cells have stay as they are while cells are looked at, which those of an iterator need
        not.
    """

    def __init__(self, settled: bool) -> None:
        self._settled = settled
        self._seen: dict[tuple[Any, int], tuple[Any, Own]] = {}  # by id, with what has it, which must not be freed
        self._held: dict[str, Own] = {}

    def replaced(self, cell: Mapping[str, Any]) -> Mapping[str, Any]:
        """The *cell* with its objects held.

        Raises
        ------
        TypeError, ValueError
            As `own_object`, and if one content has two names.
        """
        found = {key: self._held_of(key, cell[key]) for key in OBJECT_KEYS if not isinstance(cell.get(key, ""), str)}
        return {**cell, **found} if found else cell

    def _held_of(self, key: str, value: Any) -> Any:
        label, inner = _label_and_value(value)
        known = self._seen.get((label, id(inner)))
        if known is not None:
            return known[1]
        own = own_object(key, value)
        if not isinstance(own, Own):
            return own
        own = self._one_for_all(own)
        if self._settled or isinstance(inner, (QuadraticFunction, GaussianMixture, Activation)):
            self._seen[label, id(inner)] = inner, own
        return own

    def _one_for_all(self, own: Own) -> Own:
        held = self._held.setdefault(own.digest, own)
        if held.name != own.name:
            raise ValueError(
                f"one object is called {held.name!r} and {own.name!r}; give it the same name in all cells of a sweep"
            )
        return held


def objects_of(cells: Iterable[Mapping[str, Any]]) -> dict[str, Own]:
    """The objects that *cells*, canonical parameters, have, by their references.

    Raises
    ------
    ValueError
        If two share a reference.
    """
    found: dict[str, Own] = {}
    for parameters in cells:
        for key in OBJECT_KEYS:
            own = parameters[key]
            if isinstance(own, Own) and found.setdefault(own.reference, own).digest != own.digest:
                raise ValueError(
                    f"{own} and {found[own.reference]} are two objects, but the first {_DIGITS} digits of their "
                    "digests agree; change one of them in a last digit"
                )
    return found


def content(target: Target) -> bytes:
    """All that *target* is, as bytes: a line of JSON and the arrays, of diagonal ones the diagonal, as float64."""
    if isinstance(target, GaussianMixture):
        head: dict[str, Any] = {"kind": "mixture"}
        arrays = {"Sigma": target.Sigma, "Delta": target.Delta}
    else:
        head = {"kind": "quadratic", "b0": target.b0 + 0.0}  # -0.0 is 0.0
        arrays = {"B": target.B} | ({} if target.input_cov is None else {"input_cov": target.input_cov})
    short = {name: np.ascontiguousarray(_without_zeros(array) + 0.0, "<f8") for name, array in arrays.items()}
    head["shapes"] = {name: array.shape for name, array in short.items()}
    return json.dumps(head).encode() + b"\n" + b"".join(array.tobytes() for array in short.values())


def target_of(stored: bytes) -> Target:
    """The target whose `content` is *stored*."""
    line, _, data = stored.partition(b"\n")
    head = json.loads(line)
    sizes = [int(np.prod(shape)) for shape in head["shapes"].values()]
    parts = np.split(np.frombuffer(data, "<f8"), np.cumsum(sizes)[:-1])
    arrays = {name: part.reshape(shape) for part, (name, shape) in zip(parts, head["shapes"].items(), strict=True)}
    return GaussianMixture(**arrays) if head["kind"] == "mixture" else QuadraticTarget(b0=head["b0"], **arrays)


def _label_and_value(value: Any) -> tuple[Any, Any]:
    """The name that is given with a *value*, if one is, and the value itself."""
    if isinstance(value, Mapping) and len(value) == 1:
        return next(iter(value.items()))
    return None, value


def _check_label(key: str, label: Any) -> str:
    if not isinstance(label, str):
        raise TypeError(f"the name of {key} must be a string, got {shown(label)}; pass e.g. 'mine'")
    if not 0 < len(label) <= _LONGEST or not label.isprintable() or label != label.strip() or "#" in label:
        raise ValueError(
            f"the name of {key} must have 1 to {_LONGEST} characters that can be printed in one line, without '#', got "
            f"{shown(label)}; pass e.g. 'mine'"
        )
    return label


def _target(key: str, value: Any, is_named: bool) -> Target | None:
    """The target that *value* is, None for what is none; eigenvalues are one if they are named."""
    if isinstance(value, (QuadraticTarget, GaussianMixture)):
        return value
    if isinstance(value, QuadraticFunction):
        return QuadraticTarget(value.B, value.b0)
    try:
        ndim = 0 if isinstance(value, Mapping) else np.ndim(value)
    except ValueError:  # rows of several lengths
        ndim = 0
    if ndim == 2 or (ndim == 1 and is_named):
        B = check_symmetric(key, value)
        return QuadraticTarget(B, -float(np.trace(B)))
    if is_named:
        raise TypeError(
            f"{key} has a name, but {shown(value)} of type {type(value).__name__} is no object; name a matrix (d, d), "
            "eigenvalues (d,), a QuadraticTarget or a GaussianMixture"
        )
    return None


def _without_zeros(matrix: Array) -> Array:
    """The diagonal (d,) of a *matrix* (d, d) that is diagonal, else the matrix."""
    diagonal = np.diagonal(matrix)
    return diagonal if np.count_nonzero(matrix) == np.count_nonzero(diagonal) else matrix
