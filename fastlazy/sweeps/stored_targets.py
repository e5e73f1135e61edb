"""The targets of the user's that a store has, by value."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from hashlib import sha256

from fastlazy._support.files import check_path
from fastlazy._support.sqlite import connect, explained, is_sound
from fastlazy.activations.activation import Activation
from fastlazy.sweeps.object_table import object_rows
from fastlazy.sweeps.objects import target_of
from fastlazy.sweeps.store import check_file
from fastlazy.targets.library import Target


def load_targets(store: str | os.PathLike[str]) -> dict[str, Target]:
    """The targets of the user's in a store, by what its table has for them in the column target.

    Parameters
    ----------
    store : path
        Of `run_sweep`, which may be at work on it.

    Returns
    -------
    dict of str to QuadraticTarget or GaussianMixture
        Equal in every bit to those that were given. Targets with names of the package, such as "power_law", and lists
        of eigenvalues are not among them, nor are non-linearities.

    Raises
    ------
    TypeError
        If *store* is no path.
    OSError
        If there is no such file.
    ValueError
        If it is not a store, or a target is not as it was written.
    """
    place = check_path("store", store)
    if not place.is_file():
        raise FileNotFoundError(f"there is no store {str(store)!r}; a sweep makes one")
    found: dict[str, Target] = {}
    with closing(connect(place, "rw")) as db, explained(place):
        check_file(db, place)
        if not is_sound(db):
            raise sqlite3.DatabaseError("database disk image is malformed")
        for reference, name, digest, kind, data in object_rows(db, "reference, name, digest, kind, content"):
            if kind == Activation.__name__:
                continue
            if not isinstance(data, bytes) or sha256(data).hexdigest() != digest:
                raise ValueError(
                    f"the target '{name} {reference}' in the store {str(place)!r} is not as it was written: a disk may "
                    "be failing, or it was edited. Run the same sweep again, which writes it anew"
                )
            found[f"{name} {reference}"] = target_of(data)
    return found
