"""The records of a fit as a table and as a picture, and what a fit shows of itself."""

import copy
import dataclasses
import pickle
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import fastlazy
from fastlazy.sweeps.regimes import REGIMES

mpl.use("Agg")
TARGET = fastlazy.exponential_target(6, rng=0)


@pytest.fixture(scope="module")
def fit():
    return fastlazy.fit_nn(TARGET, 4, n_samples=3000, rng=1, n_records=5, diagnostics=True)


@pytest.fixture(scope="module")
def flow():
    return fastlazy.nn_flow(TARGET, 4, rng=1, n_records=6)


@pytest.fixture(scope="module")
def diverged():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return fastlazy.fit_nn(TARGET, 4, n_samples=3000, rng=1, step_size=3.0, dtype=np.float64)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_a_row_for_each_record(fit):
    frame = fit.to_frame()
    told = fit.diagnostics
    singles = ["travelled_W", "travelled_a", "linearization_error", "linearization_error_nt", "linearization_error_rf"]
    angles, captured = [f"angle_{k}" for k in (1, 2, 3, 4)], [f"captured_{k}" for k in range(1, 7)]
    assert [*frame] == ["samples", "times", "risk", *singles, "overlap", *angles, *captured]
    assert frame["samples"].dtype == np.int64
    for name in ("samples", "times", "risk"):
        np.testing.assert_array_equal(frame[name], getattr(fit, name))
    for name in (*singles, "overlap"):
        np.testing.assert_array_equal(frame[name], getattr(told, name))
    np.testing.assert_array_equal(frame[angles], told.angles)
    np.testing.assert_array_equal(frame[captured], told.captured)
    frame.loc[:, "risk"] = 0.0
    assert fit.risk.all()  # it has a copy


def test_without_diagnostics_there_are_three_columns(flow):
    assert [*flow.to_frame()] == ["samples", "times", "risk"]
    assert [*dataclasses.replace(flow, times=None).to_frame()] == ["samples", "risk"]


def test_the_picture_of_a_fit(fit):
    ax = fit.plot()
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), fit.samples)
    np.testing.assert_array_equal(line.get_ydata(), fit.risk)
    assert (line.get_color(), line.get_marker()) == (REGIMES["NN"].style["color"], REGIMES["NN"].style["marker"])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("samples", "risk", "log")
    assert line.get_label() == "NN: square, N = 4, d = 6"
    ax.figure.canvas.draw()


def test_the_picture_of_a_flow_in_units_of_the_null_risk(flow):
    _, given = plt.subplots()
    ax = flow.plot(null_risk=TARGET.null_risk, ax=given)
    assert ax is given
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), flow.times)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), flow.risk / TARGET.null_risk)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("time t", "risk / null risk", "symlog")
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlim()[1] >= flow.times[-1]
    assert flow.plot(ax=ax) is ax
    assert len(ax.lines) == 2
    ax.figure.canvas.draw()


def test_a_run_that_diverged_ends_with_a_cross(diverged):
    ax = diverged.plot()
    assert [line.get_marker() for line in ax.lines] == ["o", "X"]
    assert ax.lines[1].get_xdata().tolist() == [diverged.samples[-1]]
    assert ax.lines[0].get_label() == "NN: square, N = 4, d = 6, diverged"
    ax.figure.canvas.draw()


def test_a_risk_of_zero_is_drawn(flow):
    ax = dataclasses.replace(flow, risk=np.zeros(len(flow.risk)), times=None).plot()
    assert ax.get_yscale() == "linear"
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ax": 3}, TypeError, "^ax must be Axes or None, got int; pass one of plt.subplots"),
        ({"null_risk": 0.0}, ValueError, r"^null_risk must be above 0, got 0; pass target\.null_risk"),
        ({"null_risk": -1.0}, ValueError, "^null_risk must be a finite number at least 0, got -1"),
        ({"null_risk": "a"}, TypeError, "^null_risk must be a real number"),
    ],
)
def test_bad_arguments_are_refused(flow, options, error, message):
    with pytest.raises(error, match=message):
        flow.plot(**options)


def test_what_fits_show(fit, diverged, flow):
    assert repr(fit) == f"Fit(N=4, d=6, activation='square', status='finished', risk={fit.risk[-1]:.6g})"
    assert "status='diverged'" in repr(diverged)
    for value, told in (
        (fit, ["float32", "finished", "3,000", "5, with diagnostics", "1 for all neurons"]),
        (diverged, ["float64", "diverged; the state is the last finite one", "without diagnostics"]),
        (flow, [f"{flow.risk[0]:.6g} at the start, {flow.risk[-1]:.6g} at the end", f"{flow.times[-1]:.6g}"]),
        (dataclasses.replace(fit, a=np.ones(4), scale=0.5), ["4 numbers", ">scale<", ">0.5<"]),
    ):
        assert "\n" not in repr(value) + value._repr_html_()
        for text in told:
            assert text in value._repr_html_()
    watched = fit.diagnostics
    begin = f"Diagnostics(records=5, travelled_W={watched.travelled_W[-1]:.6g}, travelled_a=0, linearization_error="
    assert repr(watched).startswith(begin)
    assert "Diagnostics at the last record" in watched._repr_html_()


def test_copies_show_the_same_and_nothing_can_be_set(fit):
    for again in (copy.copy(fit), copy.deepcopy(fit), pickle.loads(pickle.dumps(fit))):
        assert repr(again) == repr(fit)
        assert again._repr_html_() == fit._repr_html_()
        assert again.to_frame().equals(fit.to_frame())
    for value, name in ((fit, "status"), (fit.diagnostics, "overlap")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_a_bar_moves_at_each_record(capsys):
    seen = []

    def look(fit):
        seen.append(fit.samples[-1])

    options = {"n_samples": 2000, "rng": 1, "n_records": 3, "callback": look}
    plain = fastlazy.fit_nn(TARGET, 4, **options)
    assert capsys.readouterr() == ("", "")
    shown = fastlazy.fit_nn(TARGET, 4, **options, progress=True)
    told = capsys.readouterr()
    np.testing.assert_array_equal(shown.W, plain.W)
    assert told.out == ""
    assert "2.00k/2.00k" in told.err
    assert f"risk {plain.risk[-1]:.4g}]\n" in told.err
    assert seen == [1000, 2000, 1000, 2000]


def test_a_bar_ends_where_a_run_does(capsys):
    def fail(fit):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fastlazy.fit_nn(TARGET, 4, n_samples=2000, rng=1, n_records=3, callback=fail, progress=True)
    assert "50%" in capsys.readouterr().err.splitlines()[-1]
    with pytest.warns(RuntimeWarning, match="diverged"):
        fastlazy.fit_nn(TARGET, 4, n_samples=3000, rng=1, step_size=3.0, progress=True)
    assert capsys.readouterr().err.endswith("diverged]\n")
    with pytest.raises(TypeError, match=r"^progress must be True or False, got 'yes'"):
        fastlazy.fit_nn(TARGET, 4, n_samples=10, progress="yes")
