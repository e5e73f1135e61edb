"""Where calls run, and how the driver treats what becomes of them."""

import os
import re
import signal
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future

import pytest
from threadpoolctl import threadpool_info

from fastlazy.sweeps import driver, engines
from fastlazy.sweeps.driver import drive
from fastlazy.sweeps.engines import Engine, Workers


@pytest.fixture(scope="module")
def workers():
    pool = Workers(2)
    yield pool
    pool.shutdown()


@pytest.fixture
def own(workers):
    return Engine(workers, lambda: 4, lambda: 2, "own")


def act(number):
    """A job: what it is told to do."""
    if number == 9:
        os._exit(9)
    if number == 15:
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
    return number


@pytest.mark.slow
def test_a_job_that_kills_its_worker_is_a_crash_and_the_others_go_on(own):
    numbers = [1, 9, 2, 15, 3, 4, 5, 6, 7, 8]
    jobs = [(f"{k}", (number,)) for k, number in enumerate(numbers)]
    ended = {key: (attempts, result) for key, attempts, result in drive(act, jobs, own, 2)}
    assert sorted(ended, key=int) == [key for key, _ in jobs]
    for key, (number,) in jobs:
        attempts, result = ended[key]
        if number in (9, 15):
            how = {9: r"EXIT\(9\)", 15: r"SIGTERM\(-15\)"}[number]
            assert result["status"] == "crashed"
            assert re.fullmatch(rf"its worker ended 2 times \({how}\), most often for lack of memory", result["error"])
            assert attempts == 2
        else:
            assert (attempts, result) == (1, number)  # whoever was beside it is not charged


class Recorder(Executor):
    """Ends calls when it is told to, and knows what was in flight."""

    def __init__(self, answer):
        self.answer = answer
        self.flying = {}
        self.most = 0
        self.seen = []

    def submit(self, function, /, *arguments):
        future = Future()
        self.flying[future] = arguments
        self.most = max(self.most, len(self.flying))
        self.seen.append(arguments[0])
        threading.Timer(0.01, self.land).start()
        return future

    def land(self):
        future = next(iter(self.flying))
        beside = [arguments[0] for arguments in self.flying.values()]
        arguments = self.flying.pop(future)
        result = self.answer(arguments[0], beside)
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


def test_only_a_few_are_in_flight_in_the_order_given():
    executor = Recorder(lambda number, beside: number)
    jobs = [(str(k), (k,)) for k in range(30)]
    assert len(list(drive(act, iter(jobs), Engine(executor, lambda: 3, lambda: 1), 1))) == 30
    assert executor.most == 3
    assert executor.seen == list(range(30))


class KilledWorker(Exception):  # noqa: N818  (the name that dask gives it)
    """What dask says when a call was on several workers that died."""


def test_a_cluster_that_accuses_bystanders_is_not_believed():
    """Whoever flew with a killer is tried again, alone, at the end; only then is the killer told from the rest."""

    def answer(number, beside):
        return KilledWorker() if 9 in beside else number

    executor = Recorder(answer)
    jobs = [(str(k), (number,)) for k, number in enumerate([1, 2, 9, 3, 4, 5, 6])]
    engine = Engine(executor, lambda: 3, lambda: 1, "dask")
    ended = {key: (attempts, result) for key, attempts, result in drive(act, jobs, engine, 2)}
    assert ended.pop("2") == (2, driver._crash(2, "dask: KilledWorker"))
    assert {key: result for key, (_, result) in ended.items()} == {"0": 1, "1": 2, "3": 3, "4": 4, "5": 5, "6": 6}
    assert any(attempts == 2 for attempts, _ in ended.values())


BROKEN = {
    "pool": (BrokenExecutor("all gone"), r"the executor broke \(BrokenExecutor: all gone\)\. What was finished is in"),
    "code": (ModuleNotFoundError("fastlazy"), r"the executor cannot run cells \(ModuleNotFoundError: fastlazy\)\. Its"),
    "name": (KilledWorker("x"), r"the executor cannot run cells \(KilledWorker: x\)"),
}


@pytest.mark.parametrize(("error", "message"), BROKEN.values(), ids=BROKEN)
def test_an_executor_that_breaks_ends_the_sweep(error, message):
    jobs = [(str(k), (k,)) for k in range(5)]
    found = drive(act, jobs, Engine(Recorder(lambda number, _: error if number == 3 else number), lambda: 1, int), 2)
    assert [next(found)[2] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match=message):
        next(found)


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
    def fail():
        raise OSError("no more processes")

    pool = Workers(1)
    monkeypatch.setattr(engines, "_start_process", fail)
    dying, waiting = pool.submit(act, 9), pool.submit(act, 1)
    with pytest.raises(OSError, match="no more processes"):
        dying.result(timeout=300)
    assert not waiting.done()
    pool.kill()
