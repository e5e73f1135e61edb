"""Tables of sweeps as files for other programs."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from fastlazy._support.files import check_path, check_writable, replace_file


def export(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write *table* to a file whose ending, .csv or .parquet, says how.

    Raises
    ------
    ValueError
        If it has another ending.
    ModuleNotFoundError
        If pyarrow, which .parquet needs, is not installed.
    OSError
        If the file cannot be written.
    """
    place = check_export(path)
    if place.suffix == ".csv":
        replace_file(place, lambda temporary: table.to_csv(temporary, index=False))
    else:
        replace_file(place, lambda temporary: table.to_parquet(temporary, index=False, engine="pyarrow"))


def check_export(path: str | os.PathLike[str]) -> Path:
    """*path*, if `export` can write such a file; errors as there."""
    place = check_path("the table to export", path)
    if place.suffix not in (".csv", ".parquet"):
        raise ValueError(f"cannot export to {str(path)!r}; pass a file name that ends in .csv or .parquet")
    if place.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401  (only whether it is there)
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                f"{str(path)!r} needs pyarrow, which is not installed; pip install 'fastlazy[parquet]', or pass a .csv"
            ) from None
    check_writable(place)
    return place
