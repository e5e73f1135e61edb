"""The targets of the user's that a store has, by value."""

from __future__ import annotations

import os

from fastlazy.activations.activation import Activation
from fastlazy.sweeps.object_table import is_as_written, object_rows
from fastlazy.sweeps.objects import target_of
from fastlazy.sweeps.tables import opened
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

    Examples
    --------
    >>> import tempfile
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from pathlib import Path
    >>> import fastlazy
    >>> cells = fastlazy.grid(regime="RF", d=3, N=2, target={"mine": [[2, 1, 0], [1, 2, 0], [0, 0, 1]]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Path(folder, "s.sqlite")
    ...     _ = fastlazy.run_sweep(cells, store, executor=ThreadPoolExecutor(1), progress=False)
    ...     targets = fastlazy.load_targets(store)
    >>> [(name[:4], target.B.tolist()) for name, target in targets.items()]
    [('mine', [[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])]
    """
    found: dict[str, Target] = {}
    with opened(store) as (db, place):
        for row in object_rows(db):
            reference, _, name, kind, data = row
            if kind == Activation.__name__:
                continue
            if not is_as_written(row):
                raise ValueError(
                    f"the target '{name} {reference}' in the store {str(place)!r} is not as it was written: a disk may "
                    "be failing, or it was edited. Run the same sweep again, which writes it anew"
                )
            found[f"{name} {reference}"] = target_of(data)
    return found
