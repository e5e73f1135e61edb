"""How many threads a call has: decided once, within the limits of the process, and none where none can be had."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import fastlazy
from fastlazy._support import threads


def run(program, **variables):
    return subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def processors(monkeypatch):
    """Eight processors, whatever the machine has."""
    for variable in threads.THREAD_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(threads, "available_cores", lambda: 8)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"NUMBA_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5", "NUMBA_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "100"}, 8),
        ({"OMP_NUM_THREADS": "0"}, 8),
        ({"OMP_NUM_THREADS": "4,2", "NUMBA_NUM_THREADS": ""}, 4),  # OpenMP's list, one number for each level of nesting
        ({"OMP_NUM_THREADS": " 2 "}, 2),
        ({"OMP_NUM_THREADS": "many"}, 8),
    ],
)
def test_the_environment_limits_threads(variables, expected, processors, monkeypatch):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert threads.thread_limit() == expected


def test_a_call_takes_what_others_leave(processors):
    assert threads.share_threads(100, 10) == 8
    assert threads.share_threads(30, 10) == 3
    assert threads.share_threads(19, 10) == threads.share_threads(0, 10) == 1
    with threads.team(6):
        assert threads.share_threads(100, 10) == 2
        with threads.team(1), threads.team(1):
            assert threads.share_threads(100, 10) == 1
    assert threads.share_threads(100, 10) == 8


def test_affinity_counts():
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from fastlazy._support import threads; print(threads.available_cores())"
    )
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    assert run(program).stdout == "1\n"


SHRINKING = """
import numpy as np
import fastlazy
from fastlazy._support import threads
from fastlazy._support import threads

limit = [3]
threads.thread_limit = lambda: limit[0]
rng = np.random.default_rng(0)
X, W = rng.standard_normal((5000, 40)), rng.standard_normal((300, 40))

def blocks():
    for start in range(0, 5000, 500):
        limit[0] = 1 if limit[0] == 7 else 7
        yield X[start : start + 500], X[start : start + 500, 0]

Gram, _ = fastlazy.rf_normal_equations(blocks(), None, W, "relu")
features = np.maximum(X @ W.T, 0)
assert np.allclose(Gram, features.T @ features / 5000)
print("right")
"""


def test_the_processors_of_a_process_may_change_while_a_call_runs():
    done = run(SHRINKING)
    assert done.stdout == "right\n", done.stderr


AT_EXIT = """
import atexit
import threading
import numpy as np
import fastlazy
from fastlazy._support import threads
from fastlazy.kernels import operands
from fastlazy._support import threads
threads.thread_limit = lambda: 3
operands._SHARE = 1

X = np.random.default_rng(0).standard_normal((40, 30))

def late():
    K = fastlazy.rf_kernel(X, X, "relu")
    fit = fastlazy.fit_nn(fastlazy.exponential_target(5, rng=0), 3, n_samples=100, rng=0)
    print(K.shape, fit.status, flush=True)

if AFTER == "main":
    main = threading.main_thread()
    threading.Thread(target=lambda: (main.join(), late())).start()
else:
    fastlazy.rf_kernel(X, X, "relu")
    atexit.register(late)
"""


@pytest.mark.parametrize("after", ["main", "exit"])
def test_calls_work_when_the_interpreter_ends(after):
    done = run(f"AFTER = {after!r}\n" + AT_EXIT)
    assert done.stdout == "(40, 40) finished\n", done.stderr


def test_no_threads_to_be_had(monkeypatch):
    def refuse(self, *arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads.ThreadPoolExecutor, "submit", refuse)
    called = []
    with threads.team(3) as together:
        together(lambda member, members, board: called.append((member, members)))
    assert (together.members, called) == (1, [(0, 1)])


def threads_of(together):
    """The threads of a team of two, by numbers that last as long as they live."""
    gate, seen = threading.Barrier(2), []

    def look(member, members, board):
        gate.wait(60)  # else one thread could make both calls
        seen.append(threading.get_ident())

    together(look)
    return set(seen)


def next_threads():
    with threads.team(2) as together:
        return threads_of(together)


def test_the_next_team_has_the_same_threads():
    first = next_threads()
    assert len(first) == 2
    assert next_threads() == first


def test_teams_side_by_side_have_threads_of_their_own():
    with threads.team(2) as one:
        assert not threads_of(one) & next_threads()


def stop_a_team():
    with threads.team(2) as together:
        raise KeyError(together.pool)


def test_threads_of_a_team_that_was_stopped_are_not_used_again():
    with pytest.raises(KeyError) as stopped:
        stop_a_team()
    with pytest.raises(RuntimeError, match="shutdown"):
        stopped.value.args[0].submit(int)
    assert len(next_threads()) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own():
    next_threads()
    child = os.fork()
    if child == 0:
        os._exit(0 if len(next_threads()) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_threads_that_may_run_elsewhere_are_not_used_again():
    program = (
        "import os; from fastlazy._support import threads\n"
        "seen = []\n"
        "def look(*_): seen.append(os.sched_getaffinity(0))\n"
        "with threads.team(2) as together: together(look)\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "with threads.team(2) as together: together(look)\n"
        "print([len(processors) for processors in seen[2:]])\n"
    )
    assert run(program).stdout == "[1, 1]\n"


def test_blas_gets_its_threads_back_after_runs_side_by_side():
    """Two runs that overlap: the one that began first ends last, and the other way round."""
    target = fastlazy.exponential_target(20, rng=0)
    begun = [threading.Event(), threading.Event()]

    def train(k):
        def callback(fit):
            begun[k].set()
            begun[1 - k].wait(60)
            if k == 0:
                time.sleep(0.3)
            return len(fit.samples) > 3

        fastlazy.fit_nn(target, 5, n_samples=20_000, rng=k, callback=callback)

    with threadpool_limits(2, user_api="blas"):
        runs = [threading.Thread(target=train, args=(k,)) for k in range(2)]
        for thread in runs:
            thread.start()
        for thread in runs:
            thread.join()
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {2}


INTERRUPTED = """
import signal, sys
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
import fastlazy
from fastlazy._support import threads
from fastlazy._support import threads
threads.thread_limit = lambda: max(MEMBERS, 1)
X, W = np.random.default_rng(0).standard_normal((2, 6000, 1000))
fastlazy.rf_kernel(X[:9], W[:9], "tanh")
print("begin", flush=True)
try:
    for _ in range(100):
        fastlazy.rf_kernel(X, W, "tanh", parallel=MEMBERS > 0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.sampled(1)
@pytest.mark.parametrize("members", [0, 1, 2])
def test_control_c_stops_a_long_kernel(members):
    program = f"MEMBERS = {members}\n" + INTERRUPTED
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begin\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n"


def test_joblib_workers_do_not_compete(monkeypatch):
    """joblib tells its workers how many threads they may use by the environment."""
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        limits = joblib.Parallel()(joblib.delayed(_limit)() for _ in range(2))
    assert limits == [1, 1]


def _limit():
    return threads.thread_limit()


def test_results_do_not_depend_on_the_limit(monkeypatch):
    X = np.random.default_rng(0).standard_normal((500, 100))
    kernels = []
    for limit in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        kernels.append(fastlazy.rf_kernel(X, X, "tanh"))
    assert kernels[0].tobytes() == kernels[1].tobytes()
