"""How cells are handed out in batches, and what becomes of those whose worker was lost."""

import os
import re
import signal
import threading
import time
from collections import Counter
from concurrent.futures import BrokenExecutor, Executor, Future

import pytest

from fastlazy.sweeps import dispatch
from fastlazy.sweeps.black_box import LastWords, mark
from fastlazy.sweeps.dispatch import Job, drive
from fastlazy.sweeps.engines import Engine, WorkerLostError, Workers


def jobs_of(numbers, cost=1.0):
    """A job for each number, its key the place of it."""
    kind = {"regime": "RF", "activation": "square", "n_samples": None}
    return [Job(f"{k}", {**kind, "number": number}, None, cost) for k, number in enumerate(numbers)]


def act(cells, seconds, timeout):
    """Do what the cells say."""
    found = []
    for k, (parameters, _) in enumerate(cells):
        mark(k)
        if parameters["number"] == 9:
            os._exit(9)
        if parameters["number"] == 15:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        found.append({"status": "done", "number": parameters["number"], "seconds": 0.01})
    return found


def run(jobs, engine, tries=2, function=act, **options):
    """All that ended, by key."""
    ended = [one for some in drive(function, iter(jobs), len(jobs), engine, tries, **options) for one in some]
    assert len({job.key for job, _ in ended}) == len(ended) == len(jobs)
    return {job.key: (job, outcome) for job, outcome in ended}


@pytest.mark.slow
@pytest.mark.parametrize("cost", [1.0, 0.02])
def test_a_job_that_kills_its_worker_is_a_crash_and_the_others_go_on(cost):
    """Alone in their calls, or ten in one."""
    numbers = [1, 9, 2, 15, 3, 4, 5, 6, 7, 8] * (1 if cost == 1 else 5)
    with Workers(2) as workers:
        ended = run(jobs_of(numbers, cost), Engine(workers, lambda: 2, lambda: 2, "own"))
    for k, number in enumerate(numbers):
        job, outcome = ended[f"{k}"]
        if number in (9, 15):
            how = {9: r"EXIT\(9\)", 15: r"SIGTERM\(-15\)"}[number]
            assert outcome["status"] == "crashed"
            assert re.fullmatch(rf"its worker ended 2 times \({how}\), most often for lack of memory", outcome["error"])
            assert job.attempts >= 2
        else:
            assert outcome["number"] == number  # whoever was beside it is not charged


class Recorder(Executor):
    """Ends calls when it is told to, and knows what was in flight."""

    def __init__(self, answer):
        self.answer = answer
        self.flying = {}
        self.most = 0
        self.seen = []

    def submit(self, function, /, cells, *options):
        future = Future()
        self.flying[future] = [parameters["number"] for parameters, _ in cells]
        self.most = max(self.most, len(self.flying))
        self.seen.append(self.flying[future])
        threading.Timer(0.01, self.land).start()
        return future

    def land(self):
        future = next(iter(self.flying))
        beside = [number for numbers in self.flying.values() for number in numbers]
        result = self.answer(self.flying.pop(future), beside)
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


def answers(numbers, seconds=1.0):
    return [{"status": "done", "number": number, "seconds": seconds} for number in numbers]


def test_only_a_few_are_in_flight_in_the_order_given():
    executor = Recorder(lambda numbers, beside: answers(numbers))
    run(jobs_of(range(30)), Engine(executor, lambda: 3, lambda: 1))
    assert executor.most == 3
    assert executor.seen == [[k] for k in range(30)]


def test_short_cells_go_in_batches_that_learn_how_short_they_are():
    executor = Recorder(lambda numbers, beside: answers(numbers, 0.001))
    ended = run(jobs_of(range(2000), cost=0.02), Engine(executor, lambda: 2, lambda: 1))
    sizes = [len(numbers) for numbers in executor.seen]
    assert sizes[0] == 10  # a fifth of a second, as expected before any has ended
    assert max(sizes) in (199, 200)  # as long, as they are
    assert sizes[-1] == 1  # so that all workers end together
    assert [number for numbers in executor.seen for number in numbers] == list(range(2000))
    assert {job.attempts for job, _ in ended.values()} == {1}


def test_a_worker_gives_back_what_it_has_no_time_for():
    executor = Recorder(lambda numbers, beside: answers(numbers[:2], 0.1))
    ended = run(jobs_of(range(300), cost=0.002), Engine(executor, lambda: 2, lambda: 1))
    sizes = [len(numbers) for numbers in executor.seen]
    assert sizes[0] > 50
    assert set(sizes[2:]) == {1, 2}  # with what was learned
    assert {job.attempts for job, _ in ended.values()} == {1}


class Gathering(Recorder):
    """Ends no call before so many are in flight."""

    def submit(self, function, /, cells, *options):
        future = Future()
        self.flying[future] = [parameters["number"] for parameters, _ in cells]
        self.most = max(self.most, len(self.flying))
        self.seen.append(self.flying[future])
        while self.most == 64 and self.flying:
            self.land()
        return future


def test_cells_that_fail_at_once_do_not_make_others_seem_short():
    executor = Recorder(lambda numbers, beside: [{**one, "status": "failed"} for one in answers(numbers, 1e-9)])
    run(jobs_of(range(20), cost=0.1), Engine(executor, lambda: 1, lambda: 1))
    assert max(map(len, executor.seen)) == 2


def test_what_is_left_is_shared_among_all_slots():
    """However short they are expected to be, each call in flight gets some."""
    executor = Gathering(lambda numbers, beside: answers(numbers, 0.2))
    run(jobs_of(range(640), cost=1e-6), Engine(executor, lambda: 64, lambda: 64))
    assert executor.most == 64
    assert len(executor.seen[0]) == 5


def test_a_lost_worker_is_charged_to_the_cell_it_was_at():
    times = Counter()

    def answer(numbers, beside):
        if 9 not in numbers:
            return answers(numbers, 0.02)
        times[9] += 1
        return WorkerLostError("SIGKILL(-9)", LastWords(numbers.index(9), False, "where" if times[9] == 2 else None))

    executor = Recorder(answer)
    numbers = [1, 2, 3, 9, 4, 5, 6] * 4
    numbers = [number for k, number in enumerate(numbers) if number != 9 or k == 3]
    ended = run(jobs_of(numbers, cost=0.02), Engine(executor, lambda: 2, lambda: 2, "own"), tries=2)
    assert len(executor.seen[0]) > 4
    job, outcome = ended.pop("3")
    assert (job.attempts, job.deaths) == (2, 2)
    assert outcome == dispatch._crash(2, "SIGKILL(-9)", "where")
    assert outcome["traceback"] == "where"
    assert all(outcome["number"] == numbers[int(key)] for key, (_, outcome) in ended.items())
    assert max(job.deaths for job, _ in ended.values()) == 0


def test_a_worker_that_ended_since_its_cell_took_too_long():
    def answer(numbers, beside):
        if 9 not in numbers:
            return answers(numbers)
        return WorkerLostError("EXIT(1)", LastWords(numbers.index(9), True, "Timeout (0:00:03)! where"))

    engine = Engine(Recorder(answer), lambda: 2, lambda: 2, "own")
    ended = run(jobs_of([1, 9, 2, 3], cost=0.02), engine, tries=3, timeout=3.0)
    error = "it took more than 3 s; give it more time, or another budget"
    told = {"status": "timeout", "error": error, "traceback": "Timeout (0:00:03)! where", "seconds": 3.0}
    assert ended["1"][1] == told
    assert [ended[key][1]["number"] for key in "023"] == [1, 2, 3]


def test_whoever_waits_is_told_that_nothing_has_ended():
    release = threading.Event()

    def answer(numbers, beside):
        release.wait(300)
        return answers(numbers)

    found = drive(
        act, iter(jobs_of([1])), 1, Engine(Recorder(answer), lambda: 1, lambda: 1), 1, patience=lambda: 0.01
    )  # fmt: skip
    assert next(found) == []
    release.set()
    assert [len(ended) for ended in found if ended] == [1]


class KilledWorker(Exception):  # noqa: N818  (the name that dask gives it)
    """What dask says when a call was on several workers that died."""


@pytest.mark.parametrize("cost", [1.0, 0.05])
def test_a_cluster_that_accuses_bystanders_is_not_believed(cost):
    """Whoever flew with a killer is tried again, alone, at the end; only then is the killer told from the rest."""

    def answer(numbers, beside):
        return KilledWorker() if 9 in beside else answers(numbers)

    jobs = jobs_of([1, 2, 9, 3, 4, 5, 6] + [7] * 20, cost)
    ended = run(jobs, Engine(Recorder(answer), lambda: 3, lambda: 1, "dask"))
    job, outcome = ended.pop("2")
    assert (job.attempts, outcome) == (2, dispatch._crash(2, "dask: KilledWorker", None))
    assert all(outcome["number"] == job.parameters["number"] for job, outcome in ended.values())
    assert any(job.attempts == 2 for job, _ in ended.values())


BROKEN = {
    "pool": (BrokenExecutor("all gone"), r"the executor broke \(BrokenExecutor: all gone\)\. What was finished is in"),
    "code": (ModuleNotFoundError("fastlazy"), r"the executor cannot run cells \(ModuleNotFoundError: fastlazy\)\. Its"),
    "name": (KilledWorker("x"), r"the executor cannot run cells \(KilledWorker: x\)"),
}


@pytest.mark.parametrize(("error", "message"), BROKEN.values(), ids=BROKEN)
def test_an_executor_that_breaks_ends_the_sweep(error, message):
    executor = Recorder(lambda numbers, _: error if 3 in numbers else answers(numbers))
    found = drive(act, iter(jobs_of(range(5))), 5, Engine(executor, lambda: 1, int), 2)
    assert [outcome["number"] for _ in range(3) for _, outcome in next(found)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match=message):
        next(found)


def test_results_come_before_an_error():
    """Of calls that end together."""

    class Together(Recorder):
        def submit(self, function, /, cells, *options):
            future = Future()
            error = cells[0][0]["number"] == 0
            (future.set_exception if error else future.set_result)(BrokenExecutor("x") if error else answers([1]))
            return future

    found = drive(act, iter(jobs_of([0, 1])), 2, Engine(Together(None), lambda: 2, int), 2)
    assert [outcome["number"] for _, outcome in next(found)] == [1]
    with pytest.raises(RuntimeError, match="the executor broke"):
        next(found)
