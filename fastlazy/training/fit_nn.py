"""The trained network: SGD of f(x) = sum_i a_i sigma(<w_i, x>) + c on fresh samples of a target.

Three exact simplifications, none of which changes the trajectory:

- x is rotation invariant, so the run takes place in the eigenbasis of B, where a sample costs O(d); for a mixture in
  its modes (`fastlazy.training.classes`), where it does, too;
- for sigma = x^2 a step multiplies W from the right (for the rows of one sign), so for N > d rows W = Q R the run
  takes place on R (d, d) and Q R is returned;
- the population risk is known (`fastlazy.network_risk`), so the trajectory records it without a test set.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
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
    check_rng,
    check_truth,
)
from fastlazy._support.bars import counted
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction
from fastlazy.training.checkpoint import Checkpoint, checkpoint_of
from fastlazy.training.classes import (
    Learned,
    check_silent_start,
    check_trained_on,
    common_sign,
    feature_means,
    in_modes,
    outside,
    rows_in_modes,
    warn_of_one_sign,
    way_back,
)
from fastlazy.training.fit import Fit, History
from fastlazy.training.loop import TRAINED, Course, Setup, training_loop
from fastlazy.training.settings import Settings, check_callback, check_seed
from fastlazy.training.start import (
    INITS,
    Frame,
    Start,
    check_entries,
    check_network,
    check_scaled_layer,
    doubled,
    initial_network,
    initial_offset,
    reduced,
    scaled,
    warn_of_bend,
    warn_of_hidden_risk,
    warn_of_signs,
)
from fastlazy.training.steps import StepSize, doubled_step_rule, general_step_rule, scaled_step_rule, step_rule


def fit_nn(
    target: Learned,
    N: int,
    *,
    n_samples: int,
    activation: ActivationLike = "square",
    batch_size: int = 100,
    step_size: StepSize = "auto",
    second_layer: str | None = None,
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
    progress: bool = False,
) -> Fit:
    """The network of N neurons trained by SGD, each sample used once.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    N : int
        Neurons.
    n_samples : int
        Samples in all. The last minibatch is smaller if batch_size does not divide it.
    activation : str, Activation or function
        The non-linearity sigma; it must have a derivative.
    batch_size : int
        Samples of one step, b. The loss of a step is the mean squared error over them.
    step_size : "auto", float or callable
        "auto" needs no tuning (see Notes). A float is the step eta of W at all times. A callable gets the
        fraction of training done, in [0, 1), and returns eta, or the steps (eta_W, eta_a, eta_c) of W,
        the second layer and the offset; it is asked at up to 10,000 equidistant times.
    second_layer : str, optional
        "ones": a = 1. "signs": fixed signs. "scalar": one trained number. "free": a trained vector. Default "ones", and
        for a mixture "signs": Delta >= 0 asks for a = -1.
    W0 : array_like, shape (N, d), optional
        First-layer weights at the start; default uniformly random orthonormal rows (for N > d, columns)
        times sqrt(tau / d), so that W^T W is tau / d times a projector (for N >= d, the identity). For another sigma
        than x^2, random orthonormal rows in blocks of d, times a length (`fastlazy.training.sizes`). For a mixture all
        this is said of the rows W0 A in its modes.
    a0 : float or array_like, shape (N,), optional
        Second layer at the start: any number for "scalar", entries +-1 for "signs", any for "free".
        Default 1 for "scalar"; for "signs" and "free" as many -1, in the last rows, as the best network
        of this width has: the signs of the N eigenvalues of B that are largest in modulus. For another sigma than x^2,
        "scalar" and "free" have A times that, by which the start is of the target's size.
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
        Run on R (d, d) instead of W where N > d and that is exact: for x^2, always but for "free". False runs the
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
        tangent model of W0: see `lazy_risk`. The offset is not scaled, and starts at c0. Not for "scalar" with another
        sigma than x^2.
    init : str
        "orthogonal": W0 as it says. "symmetric", for "signs" and "free": the N / 2 rows of such a W0 twice, with a
        second layer of +1 and of -1, so that f_0 = 0.
    diagnostics : bool
        Whether to record how far the weights go and how well their linearisation holds: see `Diagnostics`. Not for a
        mixture.
    progress : bool
        Whether to show a bar, in a notebook as a widget, that moves at each record and names its risk.

    Returns
    -------
    Fit

    Warns
    -----
    RuntimeWarning
        If the run diverges, the checkpoint is damaged, or rounding of scale f_0, of recorded risks or of the last
        linearisation error is not small beside the target or that error.
    UserWarning
        If B has negative eigenvalues, or Delta of a mixture eigenvalues of the other sign, that second layers of one
        sign ("ones", "scalar") cannot learn, and "signs" can; if sigma is odd, or bends downwards where a = 1 is fixed.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or size, sigma has no derivative or no finite Gaussian moments, or
        the checkpoint is a file of other arrays.
    OSError
        If the checkpoint cannot be read or written.

    Notes
    -----
    A step is W <- W - eta_W grad_W, and so on, with gradients of the mean squared error over the batch: the means of
    2 e a_i sigma'(<w_i, x>) x, of 2 e sigma(<w_i, x>) and of 2 e. "auto" (ours, here for x^2; the
    reasons are in `fastlazy.training.steps`) is, at the fraction u of the run, with tau = sum_i |lambda_i(B)|,
    r = max_i |lambda_i(B)| / tau, nu = nn_risk / null_risk and T = n_samples / (d b s),

        eta = kappa / (8 tau s),    kappa = 2 (1 - u) / (1 + (5/4) nu T u),
        s = 3/2 + 4 r + (d + 2 + 100 r + 3 d max(0, r - 1/20)) / b

    Where only eta is given, eta_a = eta / (2 tau) and eta_c = eta tau. For a mixture the step of W is that of the rows
    of its modes, eta_W grad_W Sigma^{-1}, and kappa starts smaller and falls on a line. Lazy scaling is a plain run
    from sqrt(alpha) W0 on the target B + alpha S_0 (ours; why is in `fastlazy.training.start`), and "auto" is its rule
    (`fastlazy.training.steps`). For another sigma it is a plain run of 2 N rows, [W; W0], with the second layer
    [alpha a; -alpha a0], of which the first half is trained.

    References
    ----------
    arXiv:1906.08899, the class NN of eq. (1).

    Examples
    --------
    >>> fit_nn(QuadraticFunction([3.0, 1.0]), 2, n_samples=50_000, rng=0).risk[-1] < 1e-3  # the null risk is 20
    np.True_
    """
    check_trained_on(target)
    if second_layer is None:
        second_layer = "signs" if isinstance(target, GaussianMixture) else "ones"
    settings = Settings(
        target=target,
        N=check_count("N", N),
        activation=_check_trainable(activation, second_layer, scale),
        batch_size=check_count("batch_size", batch_size),
        n_samples=check_count("n_samples", n_samples),
        dtype=check_float_dtype(dtype),
        second_layer=check_choice("second_layer", second_layer, TRAINED),
        n_records=check_count("n_records", n_records),
        rng=check_rng(rng),
        n_threads=None if n_threads is None else check_count("n_threads", n_threads),
        callback=check_callback(callback),
        init=check_choice("init", init, INITS),
        reduce=check_flag("reduce", reduce),
        diagnostics=check_flag("diagnostics", diagnostics),
        checkpoint=check_seed(checkpoint, rng),
        progress=check_flag("progress", progress),
    )
    start = _start(settings, step_size, scale, W0, a0, c0)
    if settings.common and settings.activation.is_square:
        if settings.mixture is None:
            warn_of_signs(start.target, settings.N, settings.second_layer, target.null_risk)
        else:
            warn_of_one_sign(settings.mixture, settings.N, settings.second_layer, float(start.a[0]))
    network, frame = _packed(settings, start)
    history = History(settings, start, frame, core.unpack(network, *frame.shape))
    file = checkpoint_of(settings, start, frame, network)
    if file is not None and (reached := file.resume(network)) is not None:
        history.restore(reached)
    status, seen = _train(settings, start, frame, network, history, file)
    if status == "diverged":
        warnings.warn(
            f"fit_nn diverged between {history.samples[-1]} and {seen} samples. The state returned is the last finite "
            "one recorded. The steps are too large for where the run was: lower step_size or use step_size='auto'; "
            "with 'auto', start nearer (W0, a0, c0) or use dtype=np.float64",
            RuntimeWarning,
            stacklevel=2,
        )
    warn_of_hidden_risk(history.hidden_risk, stacklevel=3)
    if history.hidden:
        warnings.warn(
            "the last linearization_error of the diagnostics is smaller than its rounding: the weights have moved too "
            "little; pass a smaller scale, a smaller a0, or activation='square', for which it is exact",
            RuntimeWarning,
            stacklevel=2,
        )
    return history.fit(status)


def _start(
    settings: Settings,
    step_size: StepSize,
    scale: float | None,
    W0: ArrayLike | None,
    a0: ArrayLike | None,
    c0: float | None,
) -> Start:
    """Where the run starts, by what was given or by the defaults, and its steps."""
    target, N, dtype = settings.learned, settings.N, settings.dtype
    left = None if settings.mixture is None else outside(settings.mixture, W0)
    W0 = rows_in_modes(settings.target, W0)
    key = settings.rng.integers(2**64, dtype=np.uint64)
    if not settings.activation.is_square:
        return replace(_general_start(settings, step_size, key, scale, (W0, a0, c0)), outside=left)
    common = common_sign(settings.target, N)
    W, a, _ = initial_network(
        target, N, settings.activation, settings.second_layer, settings.init, W0, a0, settings.rng, common
    )
    check_network(W, a, 1.0, dtype)
    learned, row_scale = target, 1.0
    if scale is None:
        rule = step_rule(step_size, target, N, settings.b, settings.steps, settings.mixture)
    else:
        if settings.mixture is not None:
            check_silent_start(W, a)
        plain = scaled(target, W, a, scale, dtype)
        rule = scaled_step_rule(step_size, target, plain, a, settings.b, settings.steps, settings.noise)
        learned, W, row_scale = plain.target, plain.W, plain.row_scale
    c = initial_offset(target, learned.mean - float(a @ np.sum(W**2, axis=1)), c0, dtype)
    return Start(target=learned, W=W, a=a, c=c, scale=scale, row_scale=row_scale, key=key, rule=rule, outside=left)


def _general_start(
    settings: Settings,
    step_size: StepSize,
    key: np.uint64,
    scale: float | None,
    given: tuple[ArrayLike | None, ArrayLike | None, float | None],
) -> Start:
    """The start for a sigma that is not x^2, from the *given* W0, a0 and c0."""
    W0, a0, c0 = given
    target, N, sigma, layer = settings.learned, settings.N, settings.activation, settings.second_layer
    common = common_sign(settings.target, N)
    W, a, sign = initial_network(target, N, sigma, layer, settings.init, W0, a0, settings.rng, common)
    # The directions of a mixture that neurons of either sign can learn are a matter of its Delta, not of the bend.
    warn_of_bend(sigma, sign if settings.mixture is None else abs(sign), layer, a0 is None)
    check_entries(W, a, settings.dtype)
    mean, alpha = 0.0, 1.0
    if scale is None:
        mean = float(a @ feature_means(settings.target, sigma, W))
        rule = general_step_rule(
            step_size, target, sigma, W, a, settings.common, settings.b, settings.steps, settings.noise
        )
    else:
        plain = doubled(target, sigma, W, a, scale, settings.dtype)
        start, alpha = (W, a, plain.alpha), plain.alpha
        rule = doubled_step_rule(
            step_size, target, sigma, start, layer in ("ones", "signs"), settings.b, settings.steps, settings.noise
        )
        W, a = plain.W, plain.a
        check_entries(W, a, settings.dtype)
    c = initial_offset(target, target.mean - mean, c0, settings.dtype)
    return Start(target=target, W=W, a=a, c=c, scale=scale, row_scale=1.0, key=key, rule=rule, layer_scale=alpha)


def _check_trainable(activation: Any, second_layer: Any, scale: Any) -> Activation:
    """The non-linearity, if SGD can train it and the other arguments know it."""
    sigma = check_activation(activation)
    if not sigma.is_square:
        check_scaled_layer(sigma, second_layer, scale)
        sigma.compiled_derivative  # noqa: B018  (it raises where there is no derivative)
    return sigma


def _packed(settings: Settings, start: Start) -> tuple[core.Network, Frame]:
    """The network that is trained, in panels, and its coordinates."""
    learned: Learned
    if settings.mixture is None:
        beta, basis = start.target.eigenbasis
        learned, back = QuadraticFunction(beta), None if basis is None else basis.T
    else:  # the rows are those of the modes from the start
        learned, basis, back = in_modes(settings.mixture), None, way_back(settings.mixture)
    # A number that all neurons share is kept apart from the rows; else each row has its own, and the gain is 1.
    shares = np.where(np.arange(len(start.a)) < settings.N, 1.0, -1.0)  # -1 for the f_0 that is subtracted
    gain, second = (float(start.a[0]), shares) if settings.common else (1.0, start.a)
    W = start.W if basis is None else start.W @ basis
    exact = settings.activation.is_square and settings.trained != core.FREE
    rows, a, expand = reduced(W, second, settings.reduce and exact)
    # The offset of the run is c - b0, and its target has none: a large constant would cost digits.
    network = core.pack(rows, a, gain, start.c - settings.b0, settings.dtype)
    return network, Frame(learned, basis, expand, rows.shape, back)


def _train(
    settings: Settings, start: Start, frame: Frame, network: core.Network, history: History, file: Checkpoint | None
) -> tuple[str, int]:
    """Train *network* in place and record it in *history*; the status at the end, and the samples seen by then."""
    steps = settings.steps

    def rates(first: int, count: int) -> Array:
        return start.rule(np.arange(first, first + count) / steps)

    rows, d = frame.shape
    width = min(settings.N, d)  # that of the smallest network that could be the same function
    beta: Array
    if isinstance(frame.target, GaussianMixture):
        beta, spreads = np.zeros(d), np.stack(frame.target.modes.spreads)
    else:
        beta, spreads = frame.target.B.diagonal(), None
    moving = min(settings.N, rows)
    setup = Setup(network, settings.trained, settings.b, width, beta, 0.0, settings.activation, moving, spreads)
    course = Course(settings.n_samples, rates, start.key, settings.marks, history.seen)
    seen = history.seen
    bar = counted(settings.n_samples, seen, " samples", shown=settings.progress)
    with training_loop(setup, settings.n_threads) as loop, bar as move_bar:
        for seen, due in loop.run(course):
            if due:
                if not history.record(seen, core.unpack(network, *frame.shape)):
                    move_bar(seen, "diverged")
                    return "diverged", seen
                move_bar(seen, f"risk {history.risk:.4g}")
                callback = settings.callback
                if callback is not None and check_truth("the answer of callback", callback(history.fit("running"))):
                    return "stopped", seen
            if file is not None:
                file.keep(network, history.progress(seen))
    return "finished", seen
