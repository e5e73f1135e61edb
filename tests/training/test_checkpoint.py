"""A run that is cut short goes on from its checkpoint to the same result, bit for bit."""

import io
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastlazy._core import sgd as core
from fastlazy._core.sgd import FIXED, FREE, has_coefficients, minibatches_per_block
from fastlazy.targets.library import exponential_target
from fastlazy.targets.quadratic import QuadraticTarget
from fastlazy.training import checkpoint
from fastlazy.training.fit_nn import fit_nn

TARGET = exponential_target(12, rng=0)
SIGNED = QuadraticTarget(np.linspace(-1, 2, 12))
RUNS = {
    "wide": (TARGET, 20, {"n_samples": 5013}),
    "narrow": (TARGET, 3, {"n_samples": 5013, "dtype": np.float64}),
    "one by one": (TARGET, 5, {"n_samples": 1517, "batch_size": 1}),
    "free": (SIGNED, 7, {"n_samples": 5013, "second_layer": "free"}),
    "scalar, small batches": (TARGET, 7, {"n_samples": 1999, "batch_size": 5, "second_layer": "scalar"}),
    "signs": (SIGNED, 30, {"n_samples": 5013, "second_layer": "signs"}),
    "scaled": (TARGET, 5, {"n_samples": 5013, "scale": 3.0, "diagnostics": True}),
    "watched": (SIGNED, 30, {"n_samples": 5013, "second_layer": "signs", "init": "symmetric", "diagnostics": True}),
    "scaled relu": (TARGET, 5, {"n_samples": 2013, "activation": "relu", "scale": 3.0, "diagnostics": True}),
    "one by one, scaled relu": (
        TARGET,
        5,
        {"n_samples": 517, "batch_size": 1, "activation": "relu", "second_layer": "free", "scale": 3.0},
    ),
    "full matrix": (QuadraticTarget(np.full((12, 12), 0.1) + np.diag(np.arange(12.0))), 4, {"n_samples": 5013}),
}


class CutShort(Exception):  # noqa: N818  (it is no error)
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def _at_every_return(monkeypatch):
    monkeypatch.setattr(checkpoint, "_SECONDS", 0.0)


@pytest.fixture
def _short_chunks(monkeypatch):
    monkeypatch.setattr("fastlazy.training.loop.CHUNK", 1.0)


def assert_equal(fit, other):
    assert fit.status == other.status
    for name in ("W", "a", "c", "samples", "risk", "W0", "a0", "c0"):
        assert_array_equal(getattr(fit, name), getattr(other, name), err_msg=name)
    assert (fit.diagnostics is None) == (other.diagnostics is None)
    if fit.diagnostics is not None:
        for name, values in vars(fit.diagnostics).items():
            assert_array_equal(values, getattr(other.diagnostics, name), err_msg=name)


def cut_after(monkeypatch, count):
    """Let the process end right after the checkpoint has been written *count* times."""
    real, left = checkpoint.Checkpoint.keep, [count]

    def keep(self, *arguments):
        real(self, *arguments)
        left[0] -= 1
        if left[0] == 0:
            raise CutShort

    monkeypatch.setattr(checkpoint.Checkpoint, "keep", keep)


@pytest.mark.usefixtures("_short_chunks")
@pytest.mark.parametrize(("target", "N", "options"), RUNS.values(), ids=RUNS)
def test_a_run_cut_anywhere_ends_the_same(target, N, options, tmp_path, monkeypatch):
    whole = fit_nn(target, N, rng=1, n_records=7, **options)
    rng = np.random.default_rng(5)
    file = tmp_path / "state.npz"
    b = options.get("batch_size", 100)
    trained = FREE if options.get("second_layer") == "free" else FIXED
    returns = options["n_samples"] // (b * minibatches_per_block(b, has_coefficients(min(N, target.d), trained)))
    for count in rng.integers(1, returns, 2):
        with monkeypatch.context() as patch:
            cut_after(patch, count)
            with pytest.raises(CutShort):
                fit_nn(target, N, rng=1, n_records=7, checkpoint=file, **options)
        steps = []
        resumed = fit_nn(target, N, rng=1, n_records=7, checkpoint=file, callback=steps.append, **options)
        assert_equal(resumed, whole)
        assert len(steps) < 6 or count < returns / 6  # it did not begin anew
        file.unlink()


def test_a_finished_run_is_not_run_again(tmp_path):
    file = tmp_path / "state.npz"
    fit = fit_nn(TARGET, 4, n_samples=3000, rng=1, checkpoint=file)
    assert_equal(fit, fit_nn(TARGET, 4, n_samples=3000, rng=1))
    called = []
    assert_equal(fit_nn(TARGET, 4, n_samples=3000, rng=1, checkpoint=file, callback=called.append), fit)
    assert called == []
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


def test_a_run_that_diverges_after_it_was_cut_returns_the_same_state(tmp_path, monkeypatch):
    options = {"n_samples": 4000, "step_size": lambda u: 0.0 if u < 0.6 else 10.0, "rng": 3, "n_records": 5}
    with pytest.warns(RuntimeWarning, match="diverged"):
        whole = fit_nn(TARGET, 4, **options)
    with monkeypatch.context() as patch:
        cut_after(patch, 2)
        with pytest.raises(CutShort):
            fit_nn(TARGET, 4, checkpoint=tmp_path / "state", **options)
    with pytest.warns(RuntimeWarning, match="diverged"):
        assert_equal(fit_nn(TARGET, 4, checkpoint=tmp_path / "state", **options), whole)


OTHERS = {
    "seed": {"rng": 2},
    "samples": {"n_samples": 3100},
    "batch": {"batch_size": 50},
    "steps": {"step_size": 1e-4},
    "records": {"n_records": 9},
    "dtype": {"dtype": np.float64},
    "scale": {"scale": 1.0},
    "diagnostics": {"diagnostics": True},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_the_file_of_another_run_is_not_used(changed, tmp_path):
    options = {"n_samples": 3000, "rng": 1}
    fit_nn(TARGET, 4, checkpoint=tmp_path / "state", **options)
    other = {**options, **changed}
    assert_equal(fit_nn(TARGET, 4, checkpoint=tmp_path / "state", **other), fit_nn(TARGET, 4, **other))


def test_an_empty_file_is_a_place_for_a_state(tmp_path):
    file = tmp_path / "state"
    file.touch()
    fit = fit_nn(TARGET, 4, n_samples=3000, rng=1, checkpoint=file)
    assert_equal(fit, fit_nn(TARGET, 4, n_samples=3000, rng=1))
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert file.stat().st_size > 0


def of_one_array():
    file = io.BytesIO()
    np.save(file, np.arange(3.0))
    return file.getvalue()


@pytest.mark.parametrize("content", [b"no archive", None, of_one_array()], ids=["text", "cut", "npy"])
def test_what_cannot_be_read_is_begun_anew_and_kept(content, tmp_path):
    file = tmp_path / "state"
    fit = fit_nn(TARGET, 4, n_samples=3000, rng=1, checkpoint=file)
    content = file.read_bytes()[:-200] if content is None else content
    for k in (1, 2):
        file.write_bytes(content)
        with pytest.warns(RuntimeWarning, match=r"^checkpoint '.*state' is no state .* read \(.*begins anew") as caught:
            assert_equal(fit_nn(TARGET, 4, n_samples=3000, rng=1, checkpoint=file), fit)
        assert caught[0].filename == __file__
        assert (tmp_path / f"state.unreadable-{k}").read_bytes() == content
        assert_equal(fit_nn(TARGET, 4, n_samples=3000, rng=1, checkpoint=file), fit)  # from the new state


START = core.pack(np.ones((2, 3)), np.ones(2), 1.0, 0.0, np.dtype(float))


def saved_state(tmp_path):
    """A network, the file that holds it further on, and the file's bytes."""
    network = core.pack(np.ones((2, 3)), np.ones(2), 1.0, 0.0, np.dtype(float))
    further = core.pack(np.full((2, 3), 2.0), np.ones(2), 1.0, 0.0, np.dtype(float))
    progress = checkpoint.Progress(7, [0, 7], [2.0, 1.0], [np.empty(0)] * 2, core.unpack(further, 2, 3))
    file = tmp_path / "state"
    checkpoint.Checkpoint(file, START, 1).keep(further, progress)
    assert checkpoint.Checkpoint(file, START, 1).resume(network).seen == 7
    return network, file, file.read_bytes()


def test_no_flipped_bit_is_an_error_or_another_state(tmp_path):
    """Of all bytes of the directory at the end, by which the archive is read, and of some before."""
    network, file, good = saved_state(tmp_path)
    directory = good.index(b"PK\x01\x02")
    rng = np.random.default_rng(0)
    damaged = 0
    for place in [*range(directory, len(good)), *rng.integers(directory, size=200)]:
        bad = bytearray(good)
        bad[place] ^= 1 << rng.integers(8)
        file.write_bytes(bad)
        for array in network:
            array[...] = 0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            progress = checkpoint.Checkpoint(file, START, 1).resume(network)
        if progress is None:
            assert not any(array.any() for array in network)
            damaged += [warning.category for warning in caught] == [RuntimeWarning]
        else:
            assert progress.risks == [2.0, 1.0]
            assert np.all(core.unpack(network, 2, 3)[0] == 2)
    assert damaged > 100


@pytest.mark.parametrize("content", [{"X": np.ones(3), "samples": np.ones(2)}, {"table": np.array([None])}, {}])
def test_a_file_of_other_arrays_is_refused_and_left_alone(content, tmp_path):
    file = tmp_path / "mine.npz"
    np.savez(file, **content)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"^checkpoint '.*mine.npz' is a file of other arrays .*; choose another path"):
        fit_nn(TARGET, 4, n_samples=3000, rng=1, checkpoint=file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def test_without_a_seed_nothing_could_be_resumed(tmp_path):
    with pytest.raises(ValueError, match=r"^checkpoint was given without a seed, .* pass e\.g\. rng=0"):
        fit_nn(TARGET, 4, n_samples=300, checkpoint=tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_a_generator_in_the_same_state_is_a_seed(tmp_path):
    file, called = tmp_path / "state", []
    fit = fit_nn(TARGET, 4, n_samples=3000, rng=np.random.default_rng(3), checkpoint=file)
    again = fit_nn(TARGET, 4, n_samples=3000, rng=np.random.default_rng(3), checkpoint=file, callback=called.append)
    assert_equal(fit, again)
    assert called == []


def test_a_place_where_nothing_can_be_written_is_found_at_once(tmp_path):
    called = []
    for place in (tmp_path / "none" / "state", tmp_path, "", "a\0b"):
        with pytest.raises(OSError, match=r"^checkpoint '.*' cannot be read and written \(.*\); choose another path"):
            fit_nn(TARGET, 4, n_samples=300, rng=1, checkpoint=place, callback=called.append)
    with pytest.raises(TypeError, match=r"^checkpoint must be the path of a file, got 3; pass"):
        fit_nn(TARGET, 4, n_samples=300, rng=1, checkpoint=3, callback=called.append)
    assert called == []


def test_a_neighbour_of_the_file_is_left_alone(tmp_path):
    neighbour = tmp_path / "state.tried"
    neighbour.write_text("mine")
    fit_nn(TARGET, 4, n_samples=300, rng=1, checkpoint=tmp_path / "state")
    assert neighbour.read_text() == "mine"


def test_a_disk_that_fills_up_does_not_end_the_run(tmp_path, monkeypatch):
    def full(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "replace_file", full)
    with pytest.warns(RuntimeWarning, match=r"could not be written: .*No space left") as caught:
        fit = fit_nn(TARGET, 4, n_samples=300, rng=1, checkpoint=tmp_path / "state")
    assert {warning.filename for warning in caught} == {__file__}
    assert_equal(fit, fit_nn(TARGET, 4, n_samples=300, rng=1))


def test_it_is_written_only_when_due(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_SECONDS", 1000.0)
    fit_nn(TARGET, 4, n_samples=3000, rng=1, checkpoint=tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
