"""The trained network: SGD of f(x) = sum_i a_i <w_i, x>^2 + c on fresh samples of a quadratic target.

Three exact simplifications, none of which changes the trajectory:

- x is rotation invariant, so the run takes place in the eigenbasis of B, where a sample costs O(d);
- a step multiplies W from the right (for the rows of one sign), so for N > d rows W = Q R the run takes
  place on R (d, d) and Q R is returned;
- the population risk is a function of W^T diag(a) W, so the trajectory records it without a test set.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from fastlazy._core import sgd as core
from fastlazy._team import available_cores, team
from fastlazy._validate import (
    Array,
    Seed,
    check_array,
    check_choice,
    check_columns,
    check_count,
    check_float_dtype,
    check_real,
    check_rng,
)
from fastlazy.checkpoint import Checkpoint, Progress
from fastlazy.risk import network_risk
from fastlazy.schedule import Rule, StepSize, step_rule
from fastlazy.targets import QuadraticTarget, check_target

TRAINED = {"ones": core.FIXED, "signs": core.FIXED, "scalar": core.SCALAR, "free": core.FREE}
CHUNK = 4e9  # multiply-adds of one thread between two returns to the interpreter: well under a second
SHARE = 1_000_000  # multiply-adds of a block that a thread must get to be worth its place
_DIVERGED = 1e6  # times the larger of the null risk and the risk at the start


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained network and how it got there.

    Attributes
    ----------
    W : ndarray, shape (N, d)
        First-layer weights.
    a : float or ndarray, shape (N,)
        Second layer; a float where one number serves all neurons ("ones", "scalar").
    c : float
        Offset.
    samples : ndarray of int, shape (k,)
        Samples seen at each record, from 0 on.
    risk : ndarray, shape (k,)
        Exact population risk at each record, not divided by the null risk. The last is that
        of (W, a, c), to rounding.
    status : str
        "finished", "stopped" (by the callback) or "diverged" (then the state is the last finite one);
        "running" in what a callback is given.
    """

    W: Array
    a: float | Array
    c: float
    samples: np.ndarray[Any, np.dtype[np.int64]]
    risk: Array
    status: str


def fit_nn(
    target: QuadraticTarget,
    N: int,
    *,
    n_samples: int,
    batch_size: int = 100,
    step_size: StepSize = "auto",
    second_layer: str = "ones",
    W0: ArrayLike | None = None,
    a0: ArrayLike | None = None,
    c0: float | None = None,
    dtype: Any = np.float32,
    rng: Seed = None,
    n_records: int = 50,
    callback: Callable[[Fit], Any] | None = None,
    reduce: bool = True,
    n_threads: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Fit:
    """The network of N neurons trained by SGD, each sample used once.

    Parameters
    ----------
    target : QuadraticTarget
    N : int
        Neurons.
    n_samples : int
        Samples in all. The last minibatch is smaller if batch_size does not divide it.
    batch_size : int
        Samples of one step, b. The loss of a step is the mean squared error over them.
    step_size : "auto", float or callable
        "auto" needs no tuning (see Notes). A float is the step eta of W at all times. A callable gets the
        fraction of training done, in [0, 1), and returns eta, or the steps (eta_W, eta_a, eta_c) of W,
        the second layer and the offset; it is asked at up to 10,000 equidistant times.
    second_layer : str
        "ones": a = 1. "signs": fixed signs. "scalar": one trained number. "free": a trained vector.
    W0 : array_like, shape (N, d), optional
        First-layer weights at the start; default uniformly random orthonormal rows (for N > d, columns)
        times sqrt(tau / d), so that W^T W is tau / d times a projector (for N >= d, the identity).
    a0 : float or array_like, shape (N,), optional
        Second layer at the start: any number for "scalar", entries +-1 for "signs", any for "free".
        Default 1 for "scalar"; for "signs" and "free" as many -1, in the last rows, as the best network
        of this width has: the signs of the N eigenvalues of B that are largest in modulus.
    c0 : float, optional
        Offset at the start; default the one that makes the mean error zero.
    dtype : float32 or float64
        Of the run. Risks are always computed in float64.
    rng : None, int, SeedSequence or Generator
        For W0 and the samples. The same seed gives the same result for any number of threads.
    n_records : int
        Times at which the risk is recorded: the start, the end and equidistant ones between, as far as they
        are ends of blocks (of one minibatch, or about 24 samples if minibatches are smaller).
    callback : callable, optional
        Called with the `Fit` so far at each record; a true answer stops the run.
    reduce : bool
        Run on R (d, d) instead of W where N > d and that is exact: always but for "free". False runs the
        whole W: the same numbers to rounding, slower.
    n_threads : int, optional
        Threads to share each step; default as many as the process may use and the size is worth.
    checkpoint : path, optional
        File to which the state of the run is written every half minute, and from which the same call, if the
        run was cut short, goes on to the same result, bit for bit. It needs a seed, stays when the run ends,
        and is begun anew for any other call.

    Returns
    -------
    Fit

    Warns
    -----
    RuntimeWarning
        If the run diverges.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or size.
    OSError
        If the checkpoint cannot be written.

    Notes
    -----
    A step is W <- W - eta_W grad_W, and so on, with gradients of the mean squared error over the batch,
    4 diag(a) W M, 2 <w_i, M w_i> and 2 delta with M the mean of e x x^T and delta that of e. "auto" (ours; the
    reasons are in `fastlazy.schedule`) is, at the fraction u of the run, with tau = sum_i |lambda_i(B)|,
    r = max_i |lambda_i(B)| / tau, nu = nn_risk / null_risk and T = n_samples / (d b s),

        eta = kappa / (8 tau s),    s = 3/2 + 4 r + (d + 2 + 100 r) / b,    kappa = 2 (1 - u) / (1 + (5/4) nu T u).

    Where only eta is given, eta_a = eta / (2 tau) and eta_c = eta tau.

    References
    ----------
    arXiv:1906.08899, the class NN of eq. (1).
    """
    check_target(target)
    neurons, b = check_count("N", N), check_count("batch_size", batch_size)
    total, kind = check_count("n_samples", n_samples), check_float_dtype(dtype)
    trained = TRAINED[check_choice("second_layer", second_layer, TRAINED)]
    records, generator = check_count("n_records", n_records), check_rng(rng)
    threads = available_cores() if n_threads is None else check_count("n_threads", n_threads)
    b = min(b, total)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Fit, got {type(callback).__name__}; pass such a function")
    tau = float(np.abs(target.eigenvalues).sum())
    if kind == np.float32 and tau > 0 and not 1e-15 <= tau <= 1e15:
        raise ValueError(
            f"target has eigenvalues of sum {tau:.3g} in modulus, too far from 1 for dtype float32; "
            "pass dtype=np.float64, or scale B and b0"
        )
    rule = step_rule(step_size, target, neurons, b, -(-total // b))

    key = generator.integers(2**64, dtype=np.uint64)
    W = _initial_weights(W0, target, neurons, generator)
    a = _initial_second_layer(a0, target, neurons, second_layer)
    c = target.mean - float(a @ np.sum(W**2, axis=1)) if c0 is None else check_real("c0", c0)

    beta, basis = target.eigenbasis
    rotated = QuadraticTarget(beta)  # the run has c - b0 for its offset: a large constant would cost digits
    # One number for all neurons is kept apart from the rows; else each row has its own, and alpha is 1.
    alpha, row_a = (float(a[0]), np.ones(neurons)) if second_layer in ("ones", "scalar") else (1.0, a)
    R, R_a, expand = reduced(W if basis is None else W @ basis, row_a, reduce and trained != core.FREE)
    if max(np.abs(R).max(), np.abs(R_a).max()) > np.finfo(kind).max:
        raise ValueError(
            f"W0 or a0 has entries beyond the range of dtype {kind}; pass smaller ones, or dtype=np.float64"
        )
    network = core.pack(R, R_a, alpha, c - target.b0, kind)

    state = core.unpack(network, *R.shape)
    samples, risks, status = [0], [_risk(rotated, *state)], "finished"

    def fit_so_far(status: str) -> Fit:
        rows, row_a, alpha, c = state
        W = expand(rows)
        return Fit(
            W=np.ascontiguousarray(W if basis is None else W @ basis.T, kind),
            a={"signs": a.copy(), "free": row_a.copy()}.get(second_layer, alpha),
            c=c + target.b0,
            samples=np.array(samples),
            risk=np.array(risks),
            status=status,
        )

    bound = _DIVERGED * max(risks[0], target.null_risk)
    marks = np.linspace(0, total, min(max(records, 2), total + 1)).round().astype(int)[1:].tolist()
    start = 0
    keep: Callable[[int], None] | None = None
    if checkpoint is not None:
        rates = rule(np.linspace(0, 1, 1000, endpoint=False))  # tells two rules apart
        file = Checkpoint(checkpoint, network, beta, target.b0, trained, total, b, marks, key, rates)
        if (saved := file.resume(network)) is not None:
            start, samples, risks, state = saved

        def keep_progress(seen: int) -> None:
            file.keep(network, Progress(seen, samples, risks, state))

        keep = keep_progress

    size = min(neurons, target.d)  # of a network that could be the same function
    for seen in _train(network, rotated, size, trained, total, b, rule, marks, key, threads, start, keep):
        new_state = core.unpack(network, *R.shape)
        risk = _risk(rotated, *new_state)
        if not risk <= bound:
            status = "diverged"
            warnings.warn(
                f"fit_nn diverged between {samples[-1]} and {seen} samples. The state returned is the last finite one "
                "recorded. The steps are too large for where the run was: lower step_size or use step_size='auto'; "
                "with 'auto', start nearer (W0, a0, c0) or use dtype=np.float64",
                RuntimeWarning,
                stacklevel=2,
            )
            break
        state = new_state
        samples.append(seen)
        risks.append(risk)
        if callback is not None and callback(fit_so_far("running")):
            status = "stopped"
            break
    return fit_so_far(status)


def _train(
    network: core.Network,
    target: QuadraticTarget,
    neurons: int,
    trained: int,
    n_samples: int,
    b: int,
    rule: Rule,
    marks: list[int],
    key: np.uint64,
    threads: int,
    start: int,
    keep: Callable[[int], None] | None,
) -> Iterator[int]:
    """Train *network* in place; yield the samples seen at the first return at or past each of *marks*.

    *target* has a diagonal B; no fewer than *neurons* could be the same function. The run is made of blocks
    of m minibatches, the minibatches that are left, and the smaller one that ends it. *network* has seen *start*
    samples already; *keep* is told of every return.
    """
    m = core.minibatches_per_block(b, neurons, trained)
    whole, rest = divmod(n_samples, b)
    parts = [(b, m, whole // m), (b, whole % m, 1), (rest, 1, 1)]
    panels, d4, width = network.W.shape
    block_work = 2 * b * m * panels * width * d4
    members = max(1, min(threads, block_work // SHARE))
    longest = max(1, int(CHUNK * members / block_work))
    by_coefficients = core.has_coefficients(neurons, trained)
    samples, room = core.allocate(network, np.diag(target.B), target.b0, b * m, m > 1, by_coefficients, members)
    waiting = iter(marks)
    mark = next((later for later in waiting if later > start), n_samples)
    seen = step = group = 0
    # BLAS has threads of its own, which spin for a while after the product that a record takes.
    with team(members) as together, threadpool_limits(1, user_api="blas"):
        for size, several, blocks in parts:
            if size * several > 0 and seen < start:  # what was done before
                done = min(blocks, (start - seen) // (size * several))
                blocks -= done
                step += done * several
                seen += done * several * size
                group += done * samples.X.shape[1]
            while blocks > 0 and size * several > 0:
                chunk = min(blocks, longest, max(1, -(-(mark - seen) // (size * several))))
                rates = rule(np.arange(step, step + chunk * several) / -(-n_samples // b))
                together(core.advance, key, group, chunk, size, several, rates, trained, samples, room, network)
                blocks -= chunk
                step += chunk * several
                seen += chunk * several * size
                group += chunk * samples.X.shape[1]
                if seen >= mark or not np.isfinite(network.state).all():
                    yield seen
                    mark = next((later for later in waiting if later > seen), n_samples)
                if keep is not None:
                    keep(seen)


def _risk(target: QuadraticTarget, rows: Array, a: Array, alpha: float, c: float) -> float:
    """The exact risk, infinite for a state that is not finite."""
    if not (np.isfinite(rows).all() and np.isfinite([alpha, c]).all() and np.isfinite(a).all()):
        return math.inf
    with np.errstate(over="ignore"):
        return network_risk(target, rows, alpha * a, c)


def reduced(W: Array, a: Array, reduce: bool) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Rows R and their a with the same W^T diag(a) W, and the function that takes R(t) back to W(t).

    W = Q R for the rows of each a, where they are more than d: every step is a multiplication from the right.
    """
    N, d = W.shape
    rows: list[Array] = []
    back: list[tuple[Any, Array | None, slice]] = []
    values: list[Array] = []
    start = 0
    for value in np.unique(a) if reduce else [None]:
        chosen = np.flatnonzero(a == value) if reduce else np.arange(N)
        part, Q = W[chosen], None
        if reduce and len(chosen) > d:
            Q, part = np.linalg.qr(part)
        rows.append(part)
        values.append(a[chosen][: len(part)])
        back.append((chosen, Q, slice(start, start + len(part))))
        start += len(part)

    def expand(R: Array) -> Array:
        full = np.empty((N, d))
        for chosen, Q, place in back:
            full[chosen] = R[place] if Q is None else Q @ R[place]
        return full

    return np.vstack(rows), np.concatenate(values), expand


def _initial_weights(W0: ArrayLike | None, target: QuadraticTarget, N: int, rng: np.random.Generator) -> Array:
    if W0 is None:
        gaussian = rng.standard_normal((max(N, target.d), min(N, target.d)))
        Q, R = np.linalg.qr(gaussian)
        Q *= np.sign(np.diag(R))  # uniformly distributed
        return np.asarray((Q if target.d <= N else Q.T) * np.sqrt(np.abs(target.eigenvalues).sum() / target.d))
    W = check_columns("W0", check_array("W0", W0, 2), target.d)
    if len(W) != N:
        raise ValueError(f"W0 has {len(W)} rows (shape {W.shape}), but N = {N}; pass N rows, or N={len(W)}")
    return W


def _initial_second_layer(a0: ArrayLike | None, target: QuadraticTarget, N: int, second_layer: str) -> Array:
    """The second layer at the start, shape (N,)."""
    if a0 is None:
        return _best_signs(target, N) if second_layer in ("signs", "free") else np.ones(N)
    a = check_array("a0", a0, (0, 1))
    if second_layer == "ones":
        raise ValueError("a0 was given, but second_layer='ones' has a = 1; pass second_layer='signs' or 'free'")
    if second_layer == "scalar" and a.ndim == 1:
        raise ValueError(f"a0 must be one number for second_layer='scalar', got shape {a.shape}; pass a float")
    if a.ndim == 1 and len(a) != N:
        raise ValueError(f"a0 has {len(a)} entries, but N = {N}; pass one entry per neuron, or a scalar")
    if second_layer == "signs" and not np.all(np.abs(a) == 1):
        raise ValueError("a0 must hold only +1 and -1 for second_layer='signs'; pass signs, or second_layer='free'")
    return np.broadcast_to(a, N).copy()


def _best_signs(target: QuadraticTarget, N: int) -> Array:
    """Signs (N,) with which width N can reach `nn_risk`: those of the largest eigenvalues, +1 first."""
    largest = target.eigenvalues[np.argsort(-np.abs(target.eigenvalues), kind="stable")[:N]]
    negative = int(np.count_nonzero(largest < 0))
    if target.d < N:  # spare neurons in the same proportion
        negative += round((N - target.d) * negative / target.d)
    return np.where(np.arange(N) < N - negative, 1.0, -1.0)
