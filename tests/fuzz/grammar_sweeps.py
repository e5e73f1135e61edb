"""The grammar of sweeps, their stores and figures."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

import fastlazy
from fuzz import values
from fuzz.grammar import Entry
from fuzz.judge import Call
from fuzz.values import Draw, Value

matplotlib.use("Agg")

_KEYS = (
    "regime", "d", "N", "activation", "target", "draw", "seed", "ridge", "n_samples", "batch_size", "step_size",
    "second_layer", "dtype", "scale", "init", "diagnostics", "nn", "exponent", "target_seed", "cell", "cells", "axis",
)  # fmt: skip

_OF_SGD = ("n_samples", "batch_size", "step_size", "dtype", "diagnostics")


def _cell(draw: Draw) -> dict[str, Value]:
    """The keys of one cell."""
    regime = draw.pick(["RF", "NT", "NN"])
    d = draw.size(2, 6)
    names = ["relu", "square", "tanh"]
    cell = {
        "regime": draw.one_of([regime, regime.lower()], (), ["XX", None, 1, "", *values.strange()]),
        "d": values.count(draw, d),
        "N": values.count(draw, draw.size(1, 6)),
        "activation": draw.one_of(names, (), ["nothing", None, 3, [], *values.strange()]),
        "draw": values.count(draw, draw.size(0, 3), minimum=0),
        "seed": values.count(draw, 0, minimum=0, odd=[2**40]),
    }
    if regime == "NN":
        cell["n_samples"] = values.count(draw, draw.pick([10, 300]))
        cell["batch_size"] = values.count(draw, 10)
        cell["step_size"] = draw.one_of(["auto", 1e-3], [0.0, 10.0, 1e5], ["a", -1.0, np.nan, *values.strange()])
        cell["second_layer"] = draw.one_of(["ones", "signs", "scalar", "free"], (), ["a", None, 1])
        cell["dtype"] = draw.one_of(["float32", "float64"], ["f4", float], ["int", "a", 3])
        cell["diagnostics"] = draw.one_of([0, 1, True], [1.0], [2, "yes", None, np.array([0, 1]), [1]])
        cell["nn"] = draw.one_of(["sgd"], (), ["adam", None, 1, *values.strange()])
        if draw.chance(0.2):
            cell = {key: value for key, value in cell.items() if key not in _OF_SGD}
            cell |= {"nn": Value("flow"), "max_gradients": values.count(draw, draw.pick([1, 2, 30]), odd=[7])}
            cell["tolerance"] = values.real(draw, [1e-8, 0.0, 1.0], low=0.0, none=False)
    else:
        cell["ridge"] = values.real(draw, [0.0, 0.1], low=0.0)
        cell["n_samples"] = draw.one_of([None], [30, 10], [0, -1, "a", 2.5])
    own = _own_targets(d)
    known = ["exponential", "identity", "power_law", "rank_one", "spiked", [float(k) for k in range(1, d + 1)]]
    bad = ["nothing", None, [1.0] * (d + 1), [0.0] * d, [np.nan] * d, [], [[1.0] * d], *values.strange()]
    bad += [np.ones((d, d + 1)), np.triu(np.ones((d, d))), np.zeros((d, d)), {"mine": "identity"}, {"a#b": own[0]}, {}]
    bad += [np.full((d, d), np.nan), fastlazy.QuadraticTarget(np.eye(d + 1)), {3: own[0]}, {"a": own[0], "b": own[0]}]
    cell["target"] = draw.one_of([*known, *own], (), bad)
    optional = [key for key in cell if key not in ("regime", "d", "N", "n_samples")]
    dropped = set(draw.rng.permutation(optional)[: draw.size(0, len(optional))].tolist())
    if "nn" in cell and isinstance(cell["nn"].value, str) and cell["nn"].value == "flow":
        dropped -= {"nn", "max_gradients"}  # without which some take minutes
    return {key: value for key, value in cell.items() if key not in dropped}


def _own_targets(d: int) -> list[Any]:
    """Targets of the user's, by value."""
    B = np.diag(np.arange(1.0, d + 1)) + 0.5 * np.ones((d, d))
    return [B, B.tolist(), {"mine": B}, fastlazy.QuadraticTarget(B, 0.5), {"named": [1.0] * d}]


def grid(draw: Draw) -> Call:
    arguments = _cell(draw)
    for key in list(arguments):
        if draw.chance(0.3):
            axis = draw.one_of([[1, 2], (1,), range(3), np.arange(2)], [iter([1]), {1}, "ab", None], [])
            arguments[key] = axis
    arguments = {
        key: Value(value.value, "odd" if value.kind == "bad" else value.kind) for key, value in arguments.items()
    }

    if "target" in arguments and isinstance(arguments["target"].value, np.ndarray):
        arguments["target"] = arguments["target"]._replace(kind="odd")  # one matrix, or several lists

    def function(**axes: Any) -> int:
        return len(fastlazy.grid(**axes))

    return Call("grid", function, arguments, names=("axis", "grid"))


def _run(**arguments: Any) -> Any:
    """A sweep in threads of this process, unless another executor is asked for."""
    if "executor" in arguments:
        return fastlazy.run_sweep(**arguments)
    with ThreadPoolExecutor(2) as pool:
        return fastlazy.run_sweep(**arguments, executor=pool)


def _size(cell: Any) -> dict[str, float]:
    return {"size": float(np.abs(cell.W).max())}


def _text(cell: Any) -> dict[str, Any]:
    return {"size": "large"}


def _nan(cell: Any) -> dict[str, Any]:
    return {"size": np.nan}


def run_sweep(draw: Draw) -> Call:
    folder = Path(draw.folder)
    cells = [_cell(draw) for _ in range(draw.size(1, 3))]
    kinds = {value.kind for cell in cells for value in cell.values()}
    plain = [{key: value.value for key, value in cell.items()} for cell in cells]
    kind = "bad" if "bad" in kinds else "odd" if "odd" in kinds else "good"
    if draw.chance(0.2 * (draw.spoil > 0)):
        plain, kind = draw.pick([None, "cells", {}, [], 3, plain[0], [None], [3], [{}], [plain], iter(plain)]), "odd"
    (folder / "text.sqlite").write_text("nothing")
    (folder / "folder.sqlite").mkdir()
    (folder / "empty.sqlite").touch()
    with sqlite3.connect(folder / "other.sqlite") as db:
        db.execute("CREATE TABLE cells (id TEXT)")
    odd = [folder / name for name in ("empty.sqlite", "", "new", "a b.sqlite")]
    bad = [folder / "no" / "folder.sqlite", folder / "text.sqlite", folder / "other.sqlite", folder / "folder.sqlite"]
    bad += ["", ".", b"a.sqlite", 3, None, ["a"], "\0", *values.strange()]
    arguments = {
        "cells": Value(plain, kind),
        "store": draw.one_of([folder / "a.sqlite", str(folder / "b.sqlite")], odd, bad),
    }
    options = {
        "n_workers": lambda: values.count(draw, draw.size(1, 3), none=False),
        "retries": lambda: values.count(draw, 1, minimum=0),
        "on_error": lambda: draw.one_of(["record"], ["raise"], ["a", None, 1]),
        "rerun_failed": lambda: values.flag(draw),
        "rerun": lambda: draw.one_of([(), ["failed"], {"diverged", "timeout"}], (), ["failed", ["done"], 3, None]),
        "shard": lambda: draw.one_of([None, (1, 1), (2, 3), "1/2"], (), [(0, 2), (3, 2), "a", 3, (1, 2, 3), (1.5, 2)]),
        "timeout": lambda: draw.one_of([None, 1e3], (), [0, -1.0, np.nan, "a", [1]]),
    }
    for name, make in options.items():
        if draw.chance(0.2):
            arguments[name] = make()
    if draw.chance(0.3):
        no_functions = [3, "", "nothing", "no_such_module:f", "math:pi", len, dict, lambda cell: {}, *values.strange()]
        arguments["measure"] = draw.one_of(
            [_size, None], [_text, _nan], [value for value in no_functions if value is not None]
        )
        arguments["on_change"] = draw.one_of(["raise", "measure", "keep"], (), ["again", None, 1])
    if draw.chance(0.1 * (draw.spoil > 0)):
        arguments["executor"] = Value(draw.pick(["dask", "loky", 3, "dask:nowhere", object(), "", [1], b"a"]), "bad")
    arguments["progress"] = Value(False)

    def check(table: Any) -> str | None:
        return _wrong_rows(table)

    allowed = (
        OSError,
        FileNotFoundError,
        IsADirectoryError,
        PermissionError,
        RuntimeError,
        ImportError,
        ModuleNotFoundError,
    )
    return Call(
        "run_sweep",
        _run,
        arguments,
        check,
        names=(*_KEYS, "executor", "store", "measure", "on_change"),
        allowed=allowed,
    )


def _wrong_rows(table: Any) -> str | None:
    """What is wrong with the rows of a sweep."""
    for row in table.itertuples():
        if row.status != "done":
            continue  # it says why
        if isinstance(getattr(row, "measure", None), str) and not getattr(row, "size", 0.0) > 0:
            return f"has a row that is done whose measured number is {row.size}"
        if not np.isfinite(row.risk) or not np.isfinite(row.ratio):
            return f"has a row that is done with risk {row.risk}, ratio {row.ratio}"
        if row.regime != "NN" and pd.isna(row.n_samples) and not -1e-12 <= row.ratio <= 1 + 1e-9:
            return f"has a ratio of {row.ratio}"
        if row.regime == "NN" and row.fit_status == "diverged":
            return "has a row that is done, whose training diverged"
    return None


_STORES: dict[str, bytes] = {}
_OF_FILES = (FileNotFoundError, OSError, IsADirectoryError)


def small_store(folder: Path) -> Path:
    """A good store of eight cells."""
    path = folder / "store.sqlite"
    if not _STORES:
        cells = fastlazy.grid(regime=["RF", "NT"], d=6, N=[2, 4, 8])
        cells += fastlazy.grid(regime="NN", d=6, N=[2, 4], n_samples=300)
        _run(cells=cells, store=path, progress=False)
        _STORES["bytes"] = path.read_bytes()
    path.write_bytes(_STORES["bytes"])
    return path


def load_sweep(draw: Draw, name: str = "load_sweep") -> Call:
    path = small_store(Path(draw.folder))
    whole = getattr(fastlazy, name)(path)
    kind = draw.kind()
    if kind == "good":
        store = Value(draw.pick([path, str(path)]))
    elif kind == "odd":  # damaged
        content = bytearray(path.read_bytes())
        style = draw.pick(["cut", "flip", "flip", "flip", "zeros"])
        if style == "cut":
            content = content[: draw.size(0, len(content) - 1)]
        elif style == "zeros":
            start = draw.size(0, len(content) - 1)
            content[start : start + 64] = bytes(len(content[start : start + 64]))
        else:
            content[draw.size(0, len(content) - 1)] ^= 1 << draw.size(0, 7)
        path.write_bytes(content)
        store = Value(path, "odd")
    else:
        (Path(draw.folder) / "text").write_text("nothing")
        bad = [
            "nothing.sqlite",
            "",
            ".",
            b"a",
            3,
            "\0",
            Path(draw.folder),
            Path(draw.folder) / "text",
            *values.strange(),
        ]
        store = Value(draw.good_only().one_of(bad).value, "bad")

    def check(table: Any) -> str | None:
        try:
            if isinstance(whole, dict):
                assert {key: str(target) for key, target in table.items()} == {
                    key: str(target) for key, target in whole.items()
                }
            else:
                pd.testing.assert_frame_equal(table, whole)
        except AssertionError as error:
            return f"is another table than was stored: {' '.join(str(error).split())[:100]}"
        return None

    return Call(name, getattr(fastlazy, name), {"store": store}, check, allowed=_OF_FILES)


def scan_sweep(draw: Draw) -> Call:
    path = small_store(Path(draw.folder))
    arguments = {"store": draw.one_of([path, str(path)], (), [[path], "nothing.sqlite", 3, ""])}
    options = {
        "rows": lambda: values.count(draw, draw.pick([1, 3, 100])),
        "columns": lambda: draw.one_of([["id", "N"], None, ("ratio",)], (), ["N", ["nothing"], [3], 3, ["N", "N"]]),
        "where": lambda: draw.one_of([None, "N > 2", "regime = 'RF'"], ["1; DROP TABLE cells"], ["nothing > 2", 3, ""]),
    }
    for name, make in options.items():
        if draw.chance(0.5):
            arguments[name] = make()

    def function(**given: Any) -> int:
        return sum(len(table) for table in fastlazy.scan_sweep(**given))

    return Call("scan_sweep", function, arguments, names=("rows", "columns", "where", "store"), allowed=_OF_FILES)


def measured_cell(draw: Draw) -> Call:
    """What a function of the user's is given, in a sweep that calls one."""
    made = run_sweep(draw)
    made.arguments["measure"] = Value(_size)
    return made._replace(name="MeasuredCell")


def load_targets(draw: Draw) -> Call:
    return load_sweep(draw, "load_targets")


def _figure_options(draw: Draw, of_sweep: bool, name: str) -> dict[str, Value]:
    """How a figure is told apart and looks."""
    keys = ["regime"] if not of_sweep else ["regime", "activation", "target", "geometry"]
    no_keys = ["nothing", "N", "measured", 3, [], *values.strange()]
    styles: list[Any] = [
        None,
        "ggplot",
        "fastlazy.figures.column",
        {"NN": {"color": "red"}},
        ["classic", {"font.size": 5}],
    ]
    no_styles = [
        "nothing",
        {"font.nothing": 3},
        {"NN": {"colour": "red"}},
        {"NT": 3},
        3,
        [3],
        b"abc",
        1j,
        object(),
        len,
    ]
    options = {
        "by": lambda: draw.one_of([None], keys, [key for key in no_keys if key is not None]),
        "legend": lambda: draw.one_of(
            [True, False, None, "upper right", "outside right center", {"ncols": 2}], [1, ""],
            ["nowhere", 3, {"nothing": 3}, [True]],
        ),
        "style": lambda: draw.one_of(styles, [[], {}], no_styles),
        "caption": lambda: draw.one_of([True, False, None, "mine"], ["", "$", 1, 0], [3, 0.5, ["a"]]),
        "objects": lambda: draw.one_of([None, {}], [{"mine": 3}], [3, "mine", [1]]),
    }  # fmt: skip
    if name == "plot_risk_curves":
        options["col"] = lambda: draw.one_of([None], keys, [key for key in no_keys if key is not None])
    return {key: make() for key, make in options.items() if draw.chance(0.15)}


def _plot(name: str) -> Entry:
    def entry(draw: Draw) -> Call:
        table = fastlazy.load_sweep(small_store(Path(draw.folder)))
        dots = pd.DataFrame(
            {"regime": ["RF", "NT", "NN"], "N": [2, 3, 4], "measured": [0.5, 0.4, 0.1], "activation": "square"}
        )
        lines = pd.DataFrame({"regime": ["RF", "RF"], "N": [2, 3], "predicted": [0.5, 0.4], "activation": "square"})
        odd = [
            dots[:0],
            table[:0],
            dots.assign(measured=np.nan),
            dots.assign(N=0),
            dots.assign(N=-1),
            dots.assign(measured=np.inf),
        ]
        odd += [
            dots.astype({"N": "Int64", "measured": "Float64"}),
            dots.assign(N=2.5),
            dots.to_dict(),
            dots.assign(measured=-1.0),
        ]
        odd += [
            table.assign(status="failed"),
            pd.concat([table, table.assign(ridge=0.1)]),
            table.assign(d=[6] * 7 + [7]),
        ]
        bad = [
            dots.drop(columns="N"),
            dots.drop(columns="measured"),
            dots.drop(columns="regime"),
            dots.assign(regime="XX"),
        ]
        bad += [dots.values, [], [1, 2], dots.assign(measured="a"), dots["N"], *values.strange()]
        chosen = draw.one_of([table, dots, table[table["regime"] == "RF"]], odd, bad)
        own = isinstance(chosen.value, pd.DataFrame) and "ratio" in chosen.value
        arguments = {"dots": chosen}
        if not own or draw.chance(0.3):
            arguments["d"] = values.count(draw, 6, none=not own)
        if draw.chance(0.4):
            bad = [lines.drop(columns="N"), lines.assign(regime="XX"), [1], "a", 3, lines.values, lines["N"]]
            arguments["lines"] = draw.one_of(
                [lines, None], [lines[:0], lines.assign(predicted=np.nan), lines.assign(N=0)], bad
            )
        if name == "plot_risk_curves" and draw.chance(0.1):
            arguments["ax"] = draw.one_of([None], (), ["a", 3, [None], matplotlib])
        arguments |= _figure_options(draw, own, name)

        def function(**parameters: Any) -> Any:
            import matplotlib.pyplot as plt

            try:
                axes = getattr(fastlazy, name)(**parameters)
                (axes[0] if isinstance(axes, list) else axes).get_figure().canvas.draw()
                return axes
            finally:
                plt.close("all")

        names = ("N", "regime", "measured", "predicted", "activation", "table", "dots", "lines", "d", "column")
        return Call(name, function, arguments, names=names, allowed=(KeyError,))

    return entry


ENTRIES: dict[str, Entry] = {
    "grid": grid,
    "run_sweep": run_sweep,
    "load_sweep": load_sweep,
    "scan_sweep": scan_sweep,
    "load_targets": load_targets,
    "MeasuredCell": measured_cell,
    "plot_risk_curves": _plot("plot_risk_curves"),
    "plot_activations": _plot("plot_activations"),
}
