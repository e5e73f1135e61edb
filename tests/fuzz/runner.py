"""Many calls in worker processes: counted by class and function, each fault a line that can be replayed."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from fuzz.judge import CLASSES, FAULTS, Call, Outcome, judge
from fuzz.values import Draw

LIMIT = 10.0  # seconds of processor time of a call: a hang beyond, if it is so in a process that has compiled all
COMPILES = 25.0  # seconds that the first call of a process may take to compile
STARTS = 120.0  # seconds in which a worker must begin its first call
ASLEEP = 150.0  # seconds that pass before a call that uses no processor time is a hang

Make = Callable[[Draw], Call]


class Done(NamedTuple):
    """One call that has ended."""

    index: int
    name: str
    outcome: Outcome
    seconds: float


def perform(make: Make, seed: int, index: int, root: Path, limit: float, announce: Callable[[str], None]) -> Done:
    """Make one call here, which ends this process if it takes more than so much processor time."""
    name = "grammar"
    announce(name)
    signal.setitimer(signal.ITIMER_PROF, COMPILES)
    start, folder = time.process_time(), Path(tempfile.mkdtemp(dir=root))
    os.chdir(folder)
    try:
        call = make(Draw(seed, index, folder))
        name = call.name
        announce(name)
        signal.setitimer(signal.ITIMER_PROF, limit)
        outcome = judge(call)
    except Exception:
        outcome = Outcome("broken", " | ".join(traceback.format_exc().splitlines()[-3:]))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.chdir(root)
        shutil.rmtree(folder, ignore_errors=True)
    return Done(index, name, outcome, time.process_time() - start)


def _work(make: Make, seed: int, indices: list[int], limits: list[float], pipe: Connection, root: Path) -> None:
    """Make these calls, each once for each of the limits, and send what became of them; runs in a worker."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    for index in indices:
        for limit in limits:
            done = perform(make, seed, index, root, limit, lambda name, index=index: pipe.send((index, name)))
        pipe.send(done)


class _Worker:
    """A process with calls to make, and what it is at."""

    def __init__(self, make: Make, seed: int, indices: list[int], limits: list[float]) -> None:
        self.indices, self.limits = indices, limits
        self.root = Path(tempfile.mkdtemp(prefix="fuzz-"))
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(make, seed, indices, limits, other, self.root))
        self.process.start()
        other.close()
        self.at, self.since = (-1, ""), time.monotonic()

    def close(self) -> None:
        """End the process and remove its files."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def left(self) -> list[int]:
        """The calls after the one that it is at."""
        return self.indices[self.indices.index(self.at[0]) + 1 :]

    def take(self) -> Done | None:
        """What it sends: a call that has ended, or one that begins; EOFError if it is dead."""
        message = self.pipe.recv()
        self.since = time.monotonic()
        if isinstance(message, Done):
            return message
        self.at = message
        return None


def run(make: Make, seed: int, indices: list[int], jobs: int = 1, asleep: float = ASLEEP) -> Iterator[Done]:
    """Make the calls of these indices in worker processes; yield them as they end."""
    parts = [indices[k::jobs] for k in range(jobs) if indices[k::jobs]]
    workers = [_Worker(make, seed, part, [LIMIT]) for part in parts]
    try:
        while workers:
            ready = wait([worker.pipe for worker in workers], timeout=1.0)
            for worker in list(workers):
                ended, sleeps = False, time.monotonic() - worker.since > (asleep if worker.at[0] >= 0 else STARTS)
                if worker.pipe in ready:
                    try:
                        if (done := worker.take()) is not None:
                            yield done
                    except EOFError:
                        ended = True
                if not ended and not (sleeps and worker.pipe not in ready):
                    continue
                worker.process.join(0 if sleeps else 10)
                status, (index, name) = worker.process.exitcode, worker.at
                worker.close()
                workers.remove(worker)
                if status == 0:
                    continue
                if index < 0:
                    raise RuntimeError(f"a worker ended with status {status} before its first call")
                if status == -signal.SIGPROF and worker.limits == [LIMIT]:  # it may have been compiling
                    workers.append(_Worker(make, seed, [index], [COMPILES, LIMIT]))
                elif status in (None, -signal.SIGPROF):
                    yield Done(index, name, Outcome("hang", f"more than {LIMIT:g} s"), LIMIT)
                else:
                    yield Done(index, name, Outcome("crash", f"the process ended with status {status}"), 0.0)
                if left := worker.left():
                    workers.append(_Worker(make, seed, left, [LIMIT]))
    finally:
        for worker in workers:
            worker.close()


def report(done: list[Done], seed: int) -> str:
    """Counts by class and by function, and every fault."""
    lines = []
    for one in sorted(done, key=lambda one: (one.name, one.outcome.kind, one.index)):
        if one.outcome.kind in FAULTS:
            lines.append(f"{seed}:{one.index} {one.name} {one.outcome.kind}: {one.outcome.note}")
    kinds = [kind for kind in CLASSES if any(one.outcome.kind == kind for one in done)]
    lines += ["", f"{'':28}" + "".join(f"{kind:>9}" for kind in kinds) + f"{'seconds':>10}"]
    for name in [*sorted({one.name for one in done}), ""]:
        own = [one for one in done if name in ("", one.name)]
        count = Counter(one.outcome.kind for one in own)
        total = sum(one.seconds for one in own)
        lines.append(f"{name or 'all':28}" + "".join(f"{count[kind]:9d}" for kind in kinds) + f"{total:10.1f}")
    return "\n".join(lines)


def replay(make: Make, seed: int, index: int) -> Outcome:
    """Make one call in this process and print it in full."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, contextlib.chdir(folder):
        call = make(Draw(seed, index, Path(folder)))
        print(call.name)
        for name, argument in call.arguments.items():
            print(f"  {name} ({argument.kind}): {argument.value!r}")
        outcome = judge(call)
        print(f"{outcome.kind}: {outcome.note}")
        return outcome


def main(argv: list[str] | None = None) -> int:
    """Run or replay what the arguments say; 1 if there was a fault."""
    from fuzz.names import make, name_of

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz every public function.")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--only", metavar="NAME,...", help="leave out the calls of other names")
    parser.add_argument("--replay", metavar="SEED:INDEX", help="one call again, in this process")
    arguments = parser.parse_args(argv)
    if arguments.replay:
        seed, index = map(int, arguments.replay.split(":"))
        return int(replay(make, seed, index).kind in FAULTS)
    start, done, indices = time.perf_counter(), [], list(range(arguments.calls))
    if arguments.only:
        wanted = arguments.only.split(",")
        indices = [index for index in indices if name_of(arguments.seed, index) in wanted]
    for one in run(make, arguments.seed, indices, arguments.jobs):
        done.append(one)
        if one.outcome.kind in FAULTS:
            line = f"{arguments.seed}:{one.index} {one.name} {one.outcome.kind}: {one.outcome.note}"
            print(line, file=sys.stderr, flush=True)
    print(report(done, arguments.seed))
    print(f"{len(done)} calls in {time.perf_counter() - start:.0f} s")
    return int(any(one.outcome.kind in FAULTS for one in done))
