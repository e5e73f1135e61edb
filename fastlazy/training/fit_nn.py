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

from fastlazy._core import sgd as core
from fastlazy._support.arguments import (
    Array,
    Seed,
    check_choice,
    check_count,
    check_flag,
    check_float_dtype,
    check_real,
    check_rng,
    check_truth,
)
from fastlazy._support.threads import one_blas_thread, share_threads, team
from fastlazy.risk.network import network_risk
from fastlazy.targets.quadratic import QuadraticFunction, check_target
from fastlazy.training.checkpoint import Checkpoint, Progress, State
from fastlazy.training.diagnostics import Diagnostics, Watch
from fastlazy.training.linearization import network_function
from fastlazy.training.start import (
    INITS,
    check_network,
    check_size,
    initial_second_layer,
    initial_weights,
    reduced,
    scaled,
    warn_of_signs,
)
from fastlazy.training.steps import Rule, StepSize, scaled_step_rule, step_rule

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
    W0, a0, c0 : ndarray, float or ndarray, float
        Where it started, shapes as of W, a and c.
    scale : float or None
        alpha of lazy scaling: what is trained, and has this risk, is alpha (f - f_0) + c, f and f_0 the networks
        of W, a and W0, a0 without offset. None: the network itself.
    diagnostics : Diagnostics or None
        How lazy the run was at each record, if asked for.
    """

    W: Array
    a: float | Array
    c: float
    samples: np.ndarray[Any, np.dtype[np.int64]]
    risk: Array
    status: str
    W0: Array
    a0: float | Array
    c0: float
    scale: float | None = None
    diagnostics: Diagnostics | None = None

    @property
    def function(self) -> QuadraticFunction:
        """What was trained, as a function of x."""
        f = network_function(self.W, self.a)
        if self.scale is None:
            return QuadraticFunction(f.B, self.c)
        return QuadraticFunction(self.scale * (f.B - network_function(self.W0, self.a0).B), self.c)


def fit_nn(
    target: QuadraticFunction,
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
    scale: float | None = None,
    init: str = "orthogonal",
    diagnostics: bool = False,
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
        and is begun anew for any other call. What is there and cannot be read is renamed, not overwritten.
    scale : float, optional
        alpha > 0 of lazy scaling: alpha (f - f_0) + c is trained, f_0 the network at the start, with the steps of W and
        the second layer divided by alpha^2. Small alpha leads to the trained network, large alpha to the neural
        tangent model of W0: see `lazy_risk`. The offset is not scaled, and starts at c0.
    init : str
        "orthogonal": W0 as it says. "symmetric", for "signs" and "free": the N / 2 rows of such a W0 twice, with a
        second layer of +1 and of -1, so that f_0 = 0.
    diagnostics : bool
        Whether to record how far the weights go and how well their linearisation holds: see `Diagnostics`.

    Returns
    -------
    Fit

    Warns
    -----
    RuntimeWarning
        If the run diverges, the checkpoint is damaged, or rounding of scale f_0 is not small beside the target.
    UserWarning
        If B has negative eigenvalues that second layers of one sign ("ones", "scalar") cannot learn, and "signs" can.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or size, or the checkpoint is a file of other arrays.
    OSError
        If the checkpoint cannot be read or written.

    Notes
    -----
    A step is W <- W - eta_W grad_W, and so on, with gradients of the mean squared error over the batch,
    4 diag(a) W M, 2 <w_i, M w_i> and 2 delta with M the mean of e x x^T and delta that of e. "auto" (ours; the
    reasons are in `fastlazy.training.steps`) is, at the fraction u of the run, with tau = sum_i |lambda_i(B)|,
    r = max_i |lambda_i(B)| / tau, nu = nn_risk / null_risk and T = n_samples / (d b s),

        eta = kappa / (8 tau s),    kappa = 2 (1 - u) / (1 + (5/4) nu T u),
        s = 3/2 + 4 r + (d + 2 + 100 r + 3 d max(0, r - 1/20)) / b

    Where only eta is given, eta_a = eta / (2 tau) and eta_c = eta tau. Lazy scaling is a plain run from sqrt(alpha) W0
    on the target B + alpha S_0 (ours; why is in `fastlazy.training.start`), and "auto" is its rule
    (`fastlazy.training.steps`).

    References
    ----------
    arXiv:1906.08899, the class NN of eq. (1).
    """
    check_target(target)
    neurons, b = check_count("N", N), check_count("batch_size", batch_size)
    total, kind = check_count("n_samples", n_samples), check_float_dtype(dtype)
    trained = TRAINED[check_choice("second_layer", second_layer, TRAINED)]
    records, generator = check_count("n_records", n_records), check_rng(rng)
    threads = None if n_threads is None else check_count("n_threads", n_threads)
    b = min(b, total)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Fit, got {type(callback).__name__}; pass such a function")
    tau = float(np.abs(target.eigenvalues).sum())
    if kind == np.float32 and tau > 0 and not 1e-15 <= tau <= 1e15:
        raise ValueError(
            f"target has eigenvalues of sum {tau:.3g} in modulus, too far from 1 for dtype float32; "
            "pass dtype=np.float64, or scale B and b0"
        )
    check_choice("init", init, INITS)
    reducing, watching = check_flag("reduce", reduce), check_flag("diagnostics", diagnostics)
    if checkpoint is not None and rng is None:
        raise ValueError("checkpoint was given without a seed, so that no later call is the same run; pass e.g. rng=0")
    steps = -(-total // b)

    key = generator.integers(2**64, dtype=np.uint64)
    W = initial_weights(W0, target, neurons, generator, init)
    a = initial_second_layer(a0, target, neurons, second_layer, init)
    check_network(W, a, 1.0, kind)
    learned, size_of_rows = target, 1.0
    if scale is None:
        rule = step_rule(step_size, target, neurons, b, steps)
    else:
        plain = scaled(target, W, a, scale, kind)
        rule = scaled_step_rule(step_size, target, plain, a, neurons, b, steps)
        learned, W, size_of_rows = plain.target, plain.W, math.sqrt(plain.alpha)
    c = learned.mean - float(a @ np.sum(W**2, axis=1)) if c0 is None else check_real("c0", c0)
    check_size("c0 differs from b0 by a number", abs(c - target.b0), kind)
    if second_layer in ("ones", "scalar"):
        warn_of_signs(learned, neurons, second_layer, target.null_risk)

    beta, basis = learned.eigenbasis
    rotated = QuadraticFunction(beta)  # the run has c - b0 for its offset: a large constant would cost digits
    # One number for all neurons is kept apart from the rows; else each row has its own, and alpha is 1.
    alpha, row_a = (float(a[0]), np.ones(neurons)) if second_layer in ("ones", "scalar") else (1.0, a)
    R, R_a, expand = reduced(W if basis is None else W @ basis, row_a, reducing and trained != core.FREE)
    network = core.pack(R, R_a, alpha, c - target.b0, kind)

    def look(state: State) -> tuple[float, Array]:
        """The risk, and a record of the diagnostics; the risk is infinite where any number is not finite."""
        record: Array = np.empty(0)
        with np.errstate(over="ignore", invalid="ignore"):
            risk = _risk(rotated, *state)
            if watch is not None and risk < math.inf:
                record = watch(state)
        return risk if np.isfinite(record).all() else math.inf, record

    state = core.unpack(network, *R.shape)
    samples, status = [0], "finished"
    watch = Watch(target, basis, state, neurons, scale is not None) if watching else None
    risk, record = look(state)
    if not risk < math.inf:
        raise ValueError(
            f"the start is beyond floating point in dtype {kind}; pass smaller W0 and a0, or a c0 that is nearer to b0"
        )
    risks, watched = [risk], [record]

    def weights(state: State) -> tuple[Array, float | Array, float]:
        rows, row_a, alpha, c = state
        W = expand(rows)
        second = {"signs": a.copy(), "free": row_a.copy()}.get(second_layer, alpha)
        return np.ascontiguousarray((W if basis is None else W @ basis.T) / size_of_rows, kind), second, c + target.b0

    started = weights(state)

    def fit_so_far(status: str) -> Fit:
        return Fit(
            *weights(state), np.array(samples), np.array(risks), status, *started,
            scale=None if scale is None else float(scale),
            diagnostics=watch.collect(watched) if watch else None,
        )  # fmt: skip

    bound = min(_DIVERGED * max(risks[0], target.null_risk), float(np.finfo(np.float64).max))
    marks = np.linspace(0, total, min(max(records, 2), total + 1)).round().astype(int)[1:].tolist()
    start = 0
    keep: Callable[[int], None] | None = None
    if checkpoint is not None:
        rates = rule(np.linspace(0, 1, 1000, endpoint=False))  # tells two rules apart
        others = scale is None, size_of_rows, watch is not None
        file = Checkpoint(checkpoint, network, beta, target.b0, trained, total, b, marks, key, rates, *others)
        if (saved := file.resume(network)) is not None:
            start, samples, risks, watched, state = saved

        def keep_progress(seen: int) -> None:
            file.keep(network, Progress(seen, samples, risks, watched, state))

        keep = keep_progress

    size = min(neurons, target.d)  # of a network that could be the same function
    for seen in _train(network, rotated, size, trained, total, b, rule, marks, key, threads, start, keep):
        new_state = core.unpack(network, *R.shape)
        risk, record = look(new_state)
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
        watched.append(record)
        if callback is not None and check_truth("the answer of callback", callback(fit_so_far("running"))):
            status = "stopped"
            break
    return fit_so_far(status)


def _train(
    network: core.Network,
    target: QuadraticFunction,
    neurons: int,
    trained: int,
    n_samples: int,
    b: int,
    rule: Rule,
    marks: list[int],
    key: np.uint64,
    threads: int | None,
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
    members = share_threads(block_work, SHARE) if threads is None else max(1, min(threads, block_work // SHARE))
    by_coefficients = core.has_coefficients(neurons, trained)
    waiting = iter(marks)
    mark = next((later for later in waiting if later > start), n_samples)
    seen = step = group = 0
    # BLAS has threads of its own, which spin for a while after the product that a record takes.
    with team(members) as together, one_blas_thread():
        longest = max(1, int(CHUNK * together.members / block_work))
        sizes = b * m, m > 1, by_coefficients, together.members
        samples, work = core.allocate(network, np.diag(target.B), target.b0, *sizes)
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
                together(core.advance, key, group, chunk, size, several, rates, trained, samples, work, network)
                blocks -= chunk
                step += chunk * several
                seen += chunk * several * size
                group += chunk * samples.X.shape[1]
                if seen >= mark or not np.isfinite(network.state).all():
                    yield seen
                    mark = next((later for later in waiting if later > seen), n_samples)
                if keep is not None:
                    keep(seen)


def _risk(target: QuadraticFunction, rows: Array, a: Array, alpha: float, c: float) -> float:
    """The exact risk, infinite for a state that is not finite."""
    if not (np.isfinite(rows).all() and np.isfinite([alpha, c]).all() and np.isfinite(a).all()):
        return math.inf
    return network_risk(target, rows, alpha * a, c)
