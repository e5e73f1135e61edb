"""The regimes that a sweep measures: one row of `REGIMES` each.

A row says all that differs from regime to regime: which keys a cell has, how it is measured, what theory predicts, what
it costs, how it is drawn. A new regime is a new row here, and the functions that it names. Those load what they call
when they are called, so that reading the table loads neither the kernels nor SciPy's solvers.

References: arXiv:1906.08899, eq. (1) for RF and NT.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from fastlazy._support.arguments import Array, check_choice, check_count
from fastlazy._support.styles import STYLES
from fastlazy.activations.builtin import BUILTIN_NAMES, TANGENT_NAMES
from fastlazy.sweeps.keys import (
    Found,
    Key,
    Parameters,
    check_cell_target,
    check_derivative,
    check_natural,
    check_number,
    check_optional_count,
    choice_key,
)
from fastlazy.sweeps.objects import Own, cell_activation, own_object
from fastlazy.sweeps.trained import (
    TRAINING,
    check_training,
    load_training,
    measure_trained,
    predicted_trained,
    training_work,
    warm_up_training,
)
from fastlazy.targets.library import Target, exponential_target
from fastlazy.targets.mixture import GaussianMixture

# The parameters, besides the regime, by which the costs below go.
COSTLY = ("N", "d", "n_samples", "activation", "second_layer", "dtype", "nn")

_SPEED = 2e10  # multiply-adds a second of one thread, roughly
LARGEST_RIDGE = 1e12  # with which nothing is learned
_SAMPLES = 1  # tells the stream of samples from that of weights


def _check_activation(name: str, value: Any, known: tuple[str, ...]) -> str | Own:
    """*value*, if it is one of the *known* names or an object; errors as `check_choice`, or why it is not known."""
    value = own_object(name, value)
    if isinstance(value, Own):
        return value
    if isinstance(value, str) and value in BUILTIN_NAMES and value not in known:
        raise ValueError(
            f"{name} = {value!r} jumps, so it has no derivative, which NT and NN need; pass another, or regime='RF'"
        )
    return check_choice(name, value, known, "an Activation or a function")


@dataclass(frozen=True, kw_only=True)
class Regime:
    """One regime, as sweeps and figures know it.

    Attributes
    ----------
    name : str
        In capitals, as a cell has it.
    label : str
        In the legend of a figure; begins with the name.
    style : dict
        Matplotlib's color, linestyle and marker, in which all regimes differ, and the colour that markers are filled
        with, where it is not the same: "white" stands for the background.
    weight : float
        How thick the line and how large the markers are, beside those of other regimes. Where curves lie on each other,
        the one of more weight is seen around the other.
    activations : tuple of str
        The names of the non-linearities that it takes.
    own_keys : dict of str to Key
        The keys of a cell besides those that cells of all regimes have.
    drawn : str
        What the random stream of a cell is for: "weights", or "training". Regimes with the same word have the same
        stream at the same d, N, draw and seed, so that the difference of RF and NT is not that of two draws.
    load : callable
        Loads the modules that a cell needs, so that the first one is not measured with that.
    measure : callable
        (target, parameters, stream, checkpoint) to what is `Found`.
    predicted : callable
        (target, parameters) to the ratio that theory has for a cell, or None if it has none. Where only N and
        activation are given, the ratio is that of the population, without ridge, at the infimum. A ridge may be "best".
    cost : callable
        Parameters to the seconds that a cell takes on one thread, within a factor of 3 or so. Multiply-adds are
        counted, and weighed by what cells of d = 20 to 450 took on one machine.
    warm_up : callable
        Compiles what cells, given as a list of parameters, need.
    complete : callable, optional
        Checks all keys of a cell together, each of them checked by itself before: parameters to None, or ValueError.
    best_ridge : callable, optional
        (target, parameters) to the ridge of the least predicted risk, 0 or more.
    other_labels : dict of str to str
        The label for a value of the key nn that is not its default.
    """

    name: str
    label: str
    style: dict[str, Any]
    weight: float
    activations: tuple[str, ...]
    own_keys: dict[str, Key]
    drawn: str
    load: Callable[[], Any]
    measure: Callable[[Target, Parameters, int, str | None], Found]
    predicted: Callable[[Target, Parameters], float | None]
    cost: Callable[[Parameters], float]
    warm_up: Callable[[Sequence[Parameters]], None]
    complete: Callable[[Parameters], None] | None = None
    best_ridge: Callable[[Target, Parameters], float] | None = None
    other_labels: dict[str, str] = field(default_factory=dict)

    @cached_property
    def keys(self) -> dict[str, Key]:
        """All keys of a cell but those of the family of its target."""
        activation = Key(partial(_check_activation, known=self.activations), object, "square")
        return {**COMMON, "activation": activation, **self.own_keys}

    @property
    def is_trained(self) -> bool:
        """Whether a network is trained, rather than the best one found for weights that are drawn."""
        return self.drawn == "training"

    def among(self, names: Iterable[str]) -> list[str]:
        """Those of *names* that it takes as its activation."""
        return [name for name in names if name in self.activations]


class _Functions(NamedTuple):
    """What a regime with drawn weights calls: the exact risk, its prediction, and the fit to samples."""

    risk: Callable[..., float]
    limit: Callable[..., float]
    fit: Callable[..., Any]


def _rf() -> _Functions:
    from fastlazy.ridge.linear_models import fit_rf
    from fastlazy.risk.limits import rf_risk_limit
    from fastlazy.risk.rf import rf_risk

    return _Functions(rf_risk, rf_risk_limit, fit_rf)


def _nt() -> _Functions:
    from fastlazy.ridge.linear_models import fit_nt
    from fastlazy.risk.limits import nt_risk_limit
    from fastlazy.risk.nt import nt_risk

    return _Functions(nt_risk, nt_risk_limit, fit_nt)


def _measure_drawn(
    functions: Callable[[], _Functions],
    target: Target,
    parameters: Parameters,
    stream: int,
    _checkpoint: str | None,
) -> Found:
    from fastlazy.targets.weights import draw_weights

    risk, _, fit = functions()
    W = draw_weights(parameters["N"], target.d, rng=stream)
    if parameters["n_samples"] is not None:
        return _found_of_samples(fit, target, W, parameters, stream)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        found = risk(target, W, cell_activation(parameters), ridge=parameters["ridge"], parallel=False)
    return Found({"risk": found, "fit_status": str(caught[0].message) if caught else None}, W)


def _found_of_samples(fit: Callable[..., Any], target: Target, W: Array, parameters: Parameters, stream: int) -> Found:
    """The exact risk of ridge regression on drawn samples, of which more have fewer for their first."""
    from scipy.linalg import LinAlgWarning

    from fastlazy.risk.network import network_risk, tangent_risk

    X, y = target.sample(parameters["n_samples"], rng=np.random.SeedSequence([stream, _SAMPLES]))
    sigma, alphas = cell_activation(parameters), np.array([len(X) * parameters["ridge"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)  # singular without a ridge: the answer is all the same
        model = fit(X, y[:, None], W, sigma, alphas, parallel=False)
    c = float(model.offset[0])
    if model.b is not None:
        risk = tangent_risk(target, W, model.b[0], c, sigma, parallel=False)
        return Found({"risk": risk}, W, b=model.b[0], c=c)
    assert model.a is not None
    risk = network_risk(target, W, model.a[0], c, sigma, parallel=False)
    return Found({"risk": risk}, W, a=model.a[0], c=c)


def _predicted_drawn(functions: Callable[[], _Functions], target: Target, parameters: Parameters) -> float | None:
    """The prediction in its refined form for this d, n and ridge; none at the peak, where it is infinite."""
    of_population = parameters.get("n_samples") is None and parameters.get("ridge", 0.0) == 0
    if isinstance(target, GaussianMixture) and not of_population:
        return None
    try:
        found = _limit(functions, target, parameters, parameters.get("ridge", 0.0))
    except ValueError:
        if getattr(target, "input_cov", None) is not None:  # for which there is not always a prediction
            return None
        raise
    ratio = float(found.risk if parameters.get("ridge") == "best" else found) / target.null_risk
    return ratio if math.isfinite(ratio) else None


def _best_ridge(functions: Callable[[], _Functions], target: Target, parameters: Parameters) -> float:
    """The ridge of the least predicted risk; a finite one where no function does better than a constant."""
    return min(float(_limit(functions, target, parameters, "best").ridge), LARGEST_RIDGE)


def _limit(functions: Callable[[], _Functions], target: Target, parameters: Parameters, ridge: Any) -> Any:
    N, activation, n = parameters["N"], cell_activation(parameters), parameters.get("n_samples")
    return functions().limit(target, N, activation, refined=True, n_samples=n, ridge=ridge)


def _rf_cost(parameters: Parameters) -> float:
    N, d = parameters["N"], parameters["d"]
    expanded = 0.0 if cell_activation(parameters).has_closed_gram else 6e8 + 1e3 * N**2
    return (4e7 + expanded + N**3 / 3 + N**2 * d + _fit_work(parameters, N)) / _SPEED


def _nt_cost(parameters: Parameters) -> float:
    N, d = parameters["N"], parameters["d"]
    iterated = 0.0 if cell_activation(parameters).is_quadratic else 6e8 + 60.0 * N**2 * (d + 80.0)
    return (4e7 + iterated + 3.0 * d**3 + N * d * min(N, d) + _fit_work(parameters, N * d)) / _SPEED


def _check_nt(parameters: Parameters) -> None:
    """Check that tangent features of samples can be had: ValueError if sigma has no derivative."""
    if parameters["n_samples"] is not None:
        check_derivative(parameters["activation"], "regime NT with n_samples")


def _fit_work(parameters: Parameters, unknowns: int) -> float:
    """Multiply-adds of a fit to samples, none for a cell of the population."""
    N, d, n = parameters["N"], parameters["d"], parameters["n_samples"]
    if n is None:
        return 0.0
    small = min(unknowns, n)
    return float(n * (40.0 * d + 2.0 * N * d + small * max(N, n) / 2) + small**3 / 6)


def _warm_up_rf(cells: Sequence[Parameters]) -> None:
    for activation in ("square", "relu"):  # one of each kind of Gram matrix
        _rf().risk(exponential_target(2, rng=0), np.eye(2), activation, parallel=False)
    _warm_up_fit(_rf, cells)


def _warm_up_nt(cells: Sequence[Parameters]) -> None:
    if not all(cell_activation(cell).is_quadratic for cell in cells):
        _nt().risk(exponential_target(40, rng=0), np.eye(40), "relu", parallel=False)  # so many that it iterates
    _warm_up_fit(_nt, cells)


def _warm_up_fit(functions: Callable[[], _Functions], cells: Sequence[Parameters]) -> None:
    if fitted := [cell for cell in cells if cell["n_samples"] is not None]:
        small = {**fitted[-1], "d": 2, "N": 2, "n_samples": 5}
        _measure_drawn(functions, exponential_target(2, rng=0), small, 0, None)


def _training_cost(parameters: Parameters) -> float:
    return training_work(parameters) / _SPEED


COMMON = {
    "regime": Key(lambda name, value: value, str),
    "d": Key(check_count, int),
    "N": Key(check_count, int),
    "activation": choice_key(("square",), "square"),
    "target": Key(check_cell_target, object, "exponential"),
    "draw": Key(check_natural, int, 0),
    "seed": Key(check_natural, int, 0),
}
_RIDGE = {
    "ridge": Key(partial(check_number, minimum=0.0), float, 0.0),
    "n_samples": Key(check_optional_count, int, None, later=True),  # the population if not given
}
RF = Regime(
    name="RF",
    label="RF: random features",
    style=STYLES["RF"],
    weight=1.0,
    activations=BUILTIN_NAMES,
    own_keys=_RIDGE,
    drawn="weights",
    load=_rf,
    measure=partial(_measure_drawn, _rf),
    predicted=partial(_predicted_drawn, _rf),
    best_ridge=partial(_best_ridge, _rf),
    cost=_rf_cost,
    warm_up=_warm_up_rf,
)
NT = Regime(
    name="NT",
    label="NT: neural tangent",
    style=STYLES["NT"],
    weight=1.35,
    activations=TANGENT_NAMES,
    own_keys=_RIDGE,
    drawn="weights",
    load=_nt,
    measure=partial(_measure_drawn, _nt),
    predicted=partial(_predicted_drawn, _nt),
    best_ridge=partial(_best_ridge, _nt),
    cost=_nt_cost,
    warm_up=_warm_up_nt,
    complete=_check_nt,
)
NN = Regime(
    name="NN",
    label="NN: trained by SGD",
    other_labels={"flow": "NN: trained by gradient flow"},
    style=STYLES["NN"],
    weight=0.7,
    activations=TANGENT_NAMES,
    own_keys=TRAINING,
    drawn="training",
    load=load_training,
    measure=measure_trained,
    predicted=predicted_trained,
    cost=_training_cost,
    warm_up=warm_up_training,
    complete=check_training,
)

REGIMES: dict[str, Regime] = {row.name: row for row in (RF, NT, NN)}
