"""The fuzzer: it knows every public name, sees every kind of fault, and finds few in the package."""

import os
import re
import signal
import time
import warnings

import numpy as np
import pytest
from fuzz import functions, names, oracles, runner
from fuzz.judge import CLASSES, FAULTS, Call, judge
from fuzz.values import Value

import fastlazy
from fastlazy import estimators, rf_kernel


def test_every_public_name_has_a_grammar():
    public = {*fastlazy.__all__, *estimators.__all__}
    assert public <= {*names.ENTRIES}, "a new public name needs an entry in tests/fuzz"
    assert {*names.ENTRIES} - public == {"main"}


def call(function, check=None, **arguments):
    values = {name: v if isinstance(v, Value) else Value(v) for name, v in arguments.items()}
    return Call("stub", function, values, check)


def right(W):
    return 1.0


def silent_nan(W):
    return {"risk": [np.array([1.0, np.nan])]}


def infinite(W):
    return np.inf


def warns(W):
    warnings.warn("the steps are too large; lower W", RuntimeWarning, stacklevel=2)
    return np.nan


def leaks(W):
    np.log(np.zeros(1))
    return 1.0


def modifies(W):
    W[0] = 3
    return 1.0


def from_inside(W):
    return {}["W"]


def from_a_library(W):
    return np.linalg.inv(np.zeros((2, 2)))


def foreign_text(W):
    return np.ones(3) + np.ones(4)


NAN = Value(np.nan, "bad")
STUBS = {
    "right": [call(right, W=np.ones(2)), call(right, lambda result: None, W=1)],
    "warned": [call(warns, W=1)],
    "clear": [call(rf_kernel, X=Value([[np.nan]], "bad"), W=[[1.0]]), call(rf_kernel, X=[[1.0]], W=Value("a", "odd"))],
    "refused": [call(rf_kernel, X=[[1.0]], W=[[1.0, 2.0]])],
    "unclear": [call(f, W=Value(1, "bad")) for f in (leaks, from_inside, from_a_library, foreign_text)],
    "silent": [call(silent_nan, W=1), call(infinite, W=1), call(modifies, W=np.ones(2)), call(right, W=NAN)],
}
STUBS["unclear"][0] = call(leaks, W=1)
STUBS["silent"].append(call(right, lambda result: "is 1 for 2", W=1))


@pytest.mark.parametrize(("kind", "k"), [(kind, k) for kind, calls in STUBS.items() for k in range(len(calls))])
def test_the_judge_tells_classes_apart(kind, k):
    assert judge(STUBS[kind][k]).kind == kind


def test_an_error_that_names_no_argument_is_unclear():
    clear, unclear = (call(rf_kernel, X=[[1.0]], W=Value("a", "bad")), call(lambda V: rf_kernel(V, "a"), V=[[1.0]]))
    assert judge(clear).kind == "clear"
    assert judge(unclear).kind == "unclear"


def wrong_number(draw):
    return call(right, lambda result: "is 1 for 2" if result != 2 else None, W=1)


def sleeps(W):
    time.sleep(60)


def spins(W):
    while True:
        pass


def dies(W):
    os.kill(os.getpid(), signal.SIGSEGV)


def broken(draw):
    raise RuntimeError("a fault of the grammar")


def planted(draw):
    """Good calls, but for one of each kind of fault."""
    k = int(draw.index)
    faults = {3: silent_nan, 5: dies, 7: spins, 9: sleeps, 11: from_inside}
    if k == 13:
        return broken(draw)
    return wrong_number(draw) if k == 15 else call(faults.get(k, right), W=1)


@pytest.mark.slow
def test_planted_faults_are_counted(monkeypatch):
    monkeypatch.setattr(runner, "LIMIT", 0.5)
    monkeypatch.setattr(runner, "COMPILES", 2.0)
    done = {one.index: one.outcome for one in runner.run(planted, 0, list(range(20)), jobs=2, asleep=5.0)}
    assert sorted(done) == list(range(20))
    faults = {index: outcome.kind for index, outcome in done.items() if outcome.kind in FAULTS}
    assert faults == {3: "silent", 5: "crash", 7: "hang", 9: "hang", 11: "unclear", 13: "broken", 15: "silent"}


def _plain(note):
    """Without the addresses of objects."""
    return re.sub("0x[0-9a-f]+", "0x", note)


@pytest.mark.slow
def test_the_report_counts_and_can_be_replayed(capsys):
    done = list(runner.run(names.make_fast, 0, list(range(8))))
    table = runner.report(done, 0)
    assert table.splitlines()[-1].split()[0] == "all"
    counts = [int(n) for n in table.splitlines()[-1].split()[1:-1]]
    assert sum(counts) == 8
    kinds = {one.index: one.outcome for one in done}
    for index in range(8):
        again = runner.replay(names.make_fast, 0, index)
        assert (again.kind, _plain(again.note)) == (kinds[index].kind, _plain(kinds[index].note))
    assert "clear: " in capsys.readouterr().out
    assert {outcome.kind for outcome in kinds.values()} <= {*CLASSES}


def faults_of(make, calls, jobs):
    done = list(runner.run(make, 0, list(range(calls)), jobs))
    assert len(done) == calls
    return [
        f"0:{one.index} {one.name} {one.outcome.kind}: {one.outcome.note}" for one in done if one.outcome.kind in FAULTS
    ]


def test_thirty_fast_calls_have_no_fault():
    assert faults_of(names.make_fast, 30, jobs=1) == []


@pytest.mark.slow
def test_a_thousand_calls_have_no_fault():
    assert faults_of(names.make, 1000, jobs=2) == []


def test_the_oracle_of_moments_knows_its_limits():
    """With a = 3 r and b = 3 s, E sin(a x) sin(b x) = (e^(-(a - b)^2 / 2) - e^(-(a + b)^2 / 2)) / 2 on one line."""
    snake = next(twin for *_, twin in functions._OWN if twin.name == "snake")
    t = np.array([4.0, -3.9, 0.5])
    a = 3 * t
    waves = (np.exp(-((a - a[:, None]) ** 2) / 2) - np.exp(-((a + a[:, None]) ** 2) / 2)) / 2
    mixed = np.outer(t, a * np.exp(-a * a / 2))
    _, U, _ = oracles.moments(snake, t[:, None], np.eye(1))
    np.testing.assert_allclose(U, waves + mixed + mixed.T + np.outer(t, t), rtol=0, atol=1e-10)
    assert oracles.moments(snake, 2 * t[:, None], np.eye(1)) is None
