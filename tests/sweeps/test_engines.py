"""Where calls run, and what is known of a worker that ended."""

import ctypes
import os
import re
import signal
import time

import pytest
from threadpoolctl import threadpool_info

from fastlazy.sweeps import engines
from fastlazy.sweeps.black_box import mark, time_limit
from fastlazy.sweeps.engines import WorkerLostError, Workers


@pytest.fixture(scope="module")
def workers():
    pool = Workers(2)
    yield pool
    pool.shutdown()


def act(number):
    """A job: what it is told to do."""
    if number == 9:
        os._exit(9)
    if number == 15:
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
    return number


def environment(_):
    return os.environ["OMP_NUM_THREADS"], os.environ["LOKY_MAX_MEMORY_LEAK_SIZE"], os.getpid()


def test_workers_have_one_thread(workers):
    found = list(workers.map(environment, range(20)))
    assert {each[:2] for each in found} == {("1", "1e15")}
    assert len({each[2] for each in found}) == 2
    for pool in workers.submit(threadpool_info).result():
        assert pool["num_threads"] == 1 or pool["user_api"] != "blas"


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def test_a_short_call_does_not_wait_behind_a_long_one(workers, tmp_path):
    path = tmp_path / "done"
    long = workers.submit(wait_for, path)
    short = [workers.submit(act, k) for k in range(5)]
    assert [future.result() for future in short] == list(range(5))
    assert not long.done()
    path.touch()
    long.result()


def test_workers_that_were_killed_end_their_calls(tmp_path):
    pool = Workers(1)
    flying, waiting = pool.submit(wait_for, tmp_path / "never"), pool.submit(act, 1)
    while not flying.running():
        time.sleep(0.01)
    pool.kill()
    assert waiting.cancelled()
    assert isinstance(flying.exception(timeout=300), RuntimeError)
    with pytest.raises(RuntimeError, match="have been shut down"):
        pool.submit(act, 1)


def test_a_process_that_cannot_be_started_is_told(monkeypatch):
    def fail(boxes):
        raise OSError("no more processes")

    pool = Workers(1)
    monkeypatch.setattr(engines, "_start_process", fail)
    dying, waiting = pool.submit(act, 9), pool.submit(act, 1)
    with pytest.raises(OSError, match="no more processes"):
        dying.result(timeout=300)
    assert not waiting.done()
    pool.kill()


def end_badly(how):
    mark(7)
    if how == "fault":
        ctypes.string_at(0)
    with time_limit(0.2):
        if how == "hang":
            ctypes.PyDLL(None).sleep(600)  # which keeps Python's lock, as some compiled code does
    os.kill(os.getpid(), signal.SIGKILL)


ENDS = {
    "fault": (False, r"^Fatal Python error: Segmentation fault\n(.|\n)*in end_badly", "SIGSEGV"),
    "hang": (True, r"^Timeout \(0:00:00.2(.|\n)*in end_badly", "EXIT"),
    "killed": (False, None, "SIGKILL"),
}


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
@pytest.mark.parametrize("how", ENDS)
def test_a_worker_that_ends_leaves_its_last_words(how, workers):
    timed_out, trace, status = ENDS[how]
    with pytest.raises(WorkerLostError, match=status) as raised:
        workers.submit(end_badly, how).result(timeout=300)
    words = raised.value.words
    assert (words.call, words.timed_out) == (7, timed_out)
    assert words.trace is None if trace is None else re.search(trace, words.trace)


def test_who_is_at_work_is_known(workers, tmp_path):
    path = tmp_path / "done"
    busy = workers.submit(wait_for, path)
    deadline = time.monotonic() + 300
    while busy not in (found := workers.at_work()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert set(found) == {busy}
    os.kill(found[busy].process, 0)  # it lives
    path.touch()
    busy.result()
    assert busy not in workers.at_work()


def test_boxes_are_gone_at_the_end():
    pool = Workers(1)
    pool.submit(act, 1).result()
    assert os.path.isdir(pool._boxes.name)
    pool.shutdown()
    assert not os.path.exists(pool._boxes.name)
