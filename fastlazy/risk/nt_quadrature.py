"""The response of the tangent model where its Gram matrix K is too large for its eigenvalues: stochastic quadrature.

df1 = tr K (K + nu)^-1 and df2 are means over random signs z of <z, f(K) z>. Lanczos' method turns each into a
quadrature, whose places and weights serve every nu: Gauss' rule from its tridiagonal matrix, and Radau's with a place
at zero. Derivatives of 1 / (x + nu) alternate in sign, so that the two rules bound its value from both sides. The risk
of the population is such a form in V, and needs no random vector.

The mean over m vectors of signs is off by the spread of <z, f(K) z> over the root of m. That is made some ten times
smaller by a part whose trace is known (a control variate): on the range of F_1^T and F_2^T, what `nt_solver` calls the
parts of degree one and two, K is near to F_1^T F_1 + 2 F_2^T F_2 + rest, and beside it to the number *rest*.

References: Golub and Meurant, "Matrices, moments and quadrature with applications", 2010; traces: arXiv:1706.02205.
The known part is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal, solveh_banded
from scipy.special import stdtrit

from fastlazy._support.arguments import Array
from fastlazy._support.singular import EPS, zero_level
from fastlazy.kernels.nt_gram import TangentGram, tangent_product
from fastlazy.risk.equivalent import Equivalent, Response, finite_risks

_SMALLEST = 1e-12  # the share of K's size below which what is left of a vector is rounding
_FIRST, _MORE = 12, 6  # steps at first, and at a time
_FEWEST = 4  # vectors of signs
_PLACES = 256  # for the eigenvalues of the known part
_SURE = 0.995  # the error of a mean over signs holds with 99 %, both sides together
_TARGET = 1e-9  # the error of the risk of the population, over the null risk: it costs few products
_WATCHED = 8  # sizes and ridges at which the error is watched from the start

Errors = Literal["all", "signs", "rules", "target"]


class Task(NamedTuple):
    """What is asked of the response, and how well."""

    n: Array
    ridge: Array | None
    tolerance: float
    max_iterations: int
    lost_at_zero: Callable[[], float]  # the risk of the population without a penalty


def quadrature_equivalent(gram: TangentGram, V: Array, null_risk: float, task: Task) -> Equivalent:
    """The tangent model as the formula for finite samples knows it, with estimated errors of its response."""
    known = _known_part(gram)
    target = _Lanczos(gram, V)
    target.advance(_FIRST + 2 * _MORE)
    probes = [_probe(gram, known, k) for k in range(_FEWEST)]
    steps, spent = _FIRST, len(target.alphas)
    for probe in probes:
        spent += probe.run.advance(steps)
    watched = _some(task.n, _WATCHED)
    ridge = None if task.ridge is None else _some(task.ridge, _WATCHED)

    def features(errors: Errors) -> Equivalent:
        return _equivalent(probes, target, known, null_risk, task.lost_at_zero, errors)

    def error(errors: Errors) -> float:
        return float(np.max(finite_risks(features(errors), watched, ridge)[1]))

    while spent < task.max_iterations:
        if error("target") > _TARGET and not target.exhausted:
            spent += target.advance(_MORE)
        elif error("rules") > task.tolerance / 4 and not all(probe.run.exhausted for probe in probes):
            steps += _MORE
            spent += sum(probe.run.advance(_MORE) for probe in probes)
        elif (spread := error("signs")) > task.tolerance / 2:
            # the error of a mean falls like the root of their number
            more = min(len(probes), math.ceil(len(probes) * ((2 * spread / task.tolerance) ** 2 - 1)))
            for _ in range(min(more, max(1, (task.max_iterations - spent) // steps))):
                probes.append(_probe(gram, known, len(probes)))
                spent += probes[-1].run.advance(steps)
        else:
            found, sizes = features("all"), np.unique(task.n)
            errors = finite_risks(found, sizes, ridge)[1].reshape(len(sizes), -1).max(axis=1)
            worst = sizes[int(np.argmax(errors))]
            if errors.max() <= task.tolerance or worst in watched:
                return found
            watched = np.append(watched, worst)
    return features("all")


def _some(values: Array, count: int) -> Array:
    """Up to *count* of the values, the least and the largest among them."""
    ordered = np.unique(values)
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, count).astype(int))]


class _Lanczos:
    """Lanczos' iteration with K from one vector, which can go on."""

    def __init__(self, gram: TangentGram, start: Array) -> None:
        self.squares = float(np.vdot(start, start))
        self._gram, self._now, self._before = gram, start / math.sqrt(self.squares or 1.0), np.zeros_like(start)
        self.alphas: list[float] = []
        self.betas: list[float] = []  # one beside each alpha; the last is not in the matrix yet
        self.exhausted = self.squares == 0  # whether K has nothing more to show
        self._steps = 0
        self._rules: list[tuple[Array, Array]] = [(np.zeros(1), np.zeros(1))] * 2  # those after so many steps

    def advance(self, steps: int) -> int:
        """Take *steps* more, as far as there are, and say how many."""
        before = len(self.alphas)
        while not self.exhausted and len(self.alphas) < before + steps:
            image = tangent_product(self._gram, self._now)
            self.alphas.append(float(np.vdot(self._now, image)))
            image -= self.alphas[-1] * self._now
            image -= (self.betas[-1] if self.betas else 0.0) * self._before
            self.betas.append(float(np.linalg.norm(image)))
            self.exhausted = not self.betas[-1] > _SMALLEST * max(self.alphas)
            self._before, self._now = self._now, image / (self.betas[-1] or 1.0)
        return len(self.alphas) - before

    def rules(self) -> list[tuple[Array, Array]]:
        """Gauss' rule and Radau's: places and weights, which sum to the square of the first vector."""
        if len(self.alphas) != self._steps:
            self._steps, self._rules = len(self.alphas), self._found_rules()
        return self._rules

    def _found_rules(self) -> list[tuple[Array, Array]]:
        alphas, betas = np.array(self.alphas), np.array(self.betas)
        gauss = self._rule(alphas, betas[:-1])
        corner = None if self.exhausted else _corner(alphas, betas)
        return [gauss, gauss if corner is None else self._rule(np.append(alphas, corner), betas)]

    def _rule(self, diagonal: Array, beside: Array) -> tuple[Array, Array]:
        places, vectors = eigh_tridiagonal(diagonal, beside)
        return np.maximum(places, 0), self.squares * vectors[0] ** 2


def _corner(alphas: Array, betas: Array) -> float | None:
    """Radau's last entry, beta^2 (T^-1)_kk, which makes zero an eigenvalue; None if T has it already."""
    unit = np.eye(1, len(alphas), len(alphas) - 1)[0]
    try:
        column = solveh_banded(np.stack([alphas, np.append(betas[:-1], 0.0)]), unit, lower=True)
    except np.linalg.LinAlgError:
        return None
    return float(betas[-1] ** 2 * column[-1])


class _Known(NamedTuple):
    """What is known of K: eigenvalues, to which its own are near on the range of F_1^T and F_2^T, and one beside it."""

    rest: float
    places: Array  # (m,) the eigenvalues, those that nearly agree taken together
    place: Array  # (d, d) the place of each entry of a form; degree one has the last place
    counts: Array  # (m,) how many there are at each
    basis: Array  # (d, d) of eigenvectors of G
    weighted: Array  # (N, d) g_1 u_i in that basis
    norms: Array  # (d, d) F_2 F_2^T T = norms * T
    g_0: Array  # (N,)


class _Probe(NamedTuple):
    """A vector of signs."""

    run: _Lanczos
    missed: Array  # (m,) the known counts at each place, less what this vector makes of them


def _known_part(gram: TangentGram) -> _Known:
    g_0, g_1 = gram.g[:, 0], gram.g[:, 1]
    weighted = gram.unit * g_1[:, None]
    values, basis = np.linalg.eigh(weighted.T @ weighted)
    norms = np.maximum(values[:, None] + values, 0) / 2
    norms[norms <= 1e-10 * norms.max()] = 0
    rest = max(float(np.mean(gram.squares - g_0**2 - g_1**2)), EPS * float(np.mean(gram.squares)))
    inner = np.geomspace(1e-10, 1, _PLACES) * float(norms.max())
    place = np.searchsorted(inner[:-1], norms)
    counts = np.bincount(place.ravel(), (norms > 0).ravel() * (1 + np.eye(len(norms))).ravel() / 2, _PLACES)
    linear = float(g_0 @ g_0)
    return _Known(
        rest, np.append(rest + 2 * inner, rest + linear), place, np.append(counts, len(norms) if linear > 0 else 0),
        basis, weighted @ basis, norms, g_0,
    )  # fmt: skip


def _probe(gram: TangentGram, known: _Known, number: int) -> _Probe:
    """The vector of signs of that number."""
    z = np.random.default_rng(number).choice([-1.0, 1.0], size=gram.unit.shape)
    form = known.weighted.T @ z @ known.basis
    form = (form + form.T) / 2
    squares = np.divide(form**2, known.norms, out=np.zeros_like(form), where=known.norms > 0)
    linear = float(known.g_0 @ known.g_0)
    of_line = float(np.sum((known.g_0 @ z) ** 2)) / linear if linear > 0 else 0.0
    made = np.bincount(known.place.ravel(), squares.ravel(), len(known.places) - 1)
    return _Probe(_Lanczos(gram, z), known.counts - np.append(made, of_line))


def _equivalent(
    probes: list[_Probe],
    target: _Lanczos,
    known: _Known,
    null_risk: float,
    lost_at_zero: Callable[[], float],
    errors: Errors,
) -> Equivalent:
    """The response as it is known so far, with errors of that kind."""
    gauss, radau = (_stacked([probe.run.rules()[k] for probe in probes]) for k in (0, 1))
    own, other = target.rules()
    missed = np.stack([probe.missed for probe in probes])
    level = zero_level(float(gauss[0].max()), missed.size)
    # Signs have the squares of their norms exactly: without an eigenvalue of zero this is the number of features.
    span = float(np.round(np.mean(np.sum(np.where(gauss[0] > level, gauss[1], 0), axis=1)), 3))
    sure = float(stdtrit(len(probes) - 1, _SURE)) / math.sqrt(len(probes))
    total = np.sum(gauss[1], axis=1)
    mean_weights, mean_missed = gauss[1] / len(probes), np.mean(missed, axis=0)

    def df1(nu: float) -> float:
        if nu <= level:
            return span
        kept, beside = known.places / (known.places + nu), known.rest / (known.rest + nu)
        return float(np.sum(mean_weights * (gauss[0] / (gauss[0] + nu))) + mean_missed @ (kept - beside))

    def respond(nu: float) -> Response:
        if nu <= level:
            return Response(lost_at_zero(), span, span)
        lost, upper = (
            null_risk - float(first + nu * second) for first, second in (_resolvent(rule, nu) for rule in (own, other))
        )
        at, beside = known.places / (known.places + nu), known.rest / (known.rest + nu)
        (first, second), (other_first, other_second) = _resolvent(gauss, nu), _resolvent(radau, nu)
        ones = total - nu * first + missed @ (at - beside)
        squares = total - 2 * nu * first + nu**2 * second + missed @ (at**2 - beside**2)
        of_rules = float(np.mean(nu * np.abs(other_first - first)))
        of_squares = 2 * of_rules + float(np.mean(nu**2 * np.abs(other_second - second)))
        found = {
            "signs": (0.0, sure * float(np.std(ones, ddof=1)), sure * float(np.std(squares, ddof=1))),
            "rules": (0.0, of_rules, of_squares),
            "target": (abs(upper - lost), 0.0, 0.0),
        }
        chosen = list(found.values()) if errors == "all" else [found[errors]]
        a, b, c = (sum(parts) for parts in zip(*chosen, strict=True))
        return Response(lost, float(np.mean(ones)), float(np.mean(squares)), (a, b, c))

    return Equivalent(respond, df1, span, float(known.places.max()), null_risk)


def _resolvent(rule: tuple[Array, Array], nu: float) -> tuple[Array, Array]:
    """What a rule makes of 1 / (x + nu), and of its square."""
    inverse = 1 / (rule[0] + nu)
    return np.sum(rule[1] * inverse, axis=-1), np.sum(rule[1] * inverse**2, axis=-1)


def _stacked(rules: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Rules as rows (m, k); shorter ones are filled up with weights of zero."""
    longest = max(len(places) for places, _ in rules)
    places, weights = (np.stack([np.pad(rule[k], (0, longest - len(rule[k]))) for rule in rules]) for k in (0, 1))
    return places, weights
