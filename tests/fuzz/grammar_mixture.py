"""The grammar of mixtures of two Gaussians."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastlazy import GaussianMixture, QuadraticTarget
from fuzz import grammar, oracles, values
from fuzz.grammar import Entry, call, maybe
from fuzz.judge import Call
from fuzz.oracles_mixture import Pair
from fuzz.values import Draw, Value


def _pair(draw: Draw, d: int, odd: bool) -> Pair:
    """Sigma and Delta of a mixture; odd ones have directions, or classes, without spread, or extreme sizes."""
    rng = draw.rng
    variances, delta = rng.exponential(size=d) + 0.1, rng.uniform(-0.9, 0.9, d)
    if odd:
        style = draw.pick(["flat", "one class", "edges", "equal", "size", "spread"])
        if style == "flat":
            variances[1:] *= rng.integers(0, 2, d - 1)
        elif style == "one class":
            delta[:] = draw.pick([-1.0, 1.0])
        elif style == "edges":
            delta = rng.choice([-1.0, 1.0, 0.0], d)
        elif style == "equal":
            delta *= 0
        elif style == "size":
            variances *= draw.pick([1e-150, 1e-100, 1e-30, 1e-8, 1e8, 1e30, 1e100, 1e148])
        else:
            variances *= 10.0 ** rng.uniform(-8, 3, d)
    if draw.chance(0.4):
        return Pair(np.diag(variances), np.diag(variances * delta))
    A, Q = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
    A = A * np.sqrt(variances)
    Sigma, Delta = A @ A.T, A @ (Q * delta) @ Q.T @ A.T
    return Pair(Sigma / 2 + Sigma.T / 2, Delta / 2 + Delta.T / 2)


class Inputs(NamedTuple):
    """A target whose inputs have a covariance L L^T."""

    B: np.ndarray
    b0: float
    L: np.ndarray

    def whiten(self, plain: dict[str, Any]) -> dict[str, Any]:
        """The plain arguments of the same call for inputs N(0, I)."""
        other = {name: plain[name] @ self.L for name in ("W", "b") if name in plain}
        return {**plain, **other, "target": (self.L.T @ self.B @ self.L, self.b0)}


def learned(draw: Draw, d: int) -> Value:
    """A target, with or without a covariance of its inputs, or a mixture; plain is (B, b0), Inputs, or a Pair."""
    if draw.chance(0.15):
        A = draw.rng.standard_normal((d, d))
        B, cov, b0 = A + A.T, A @ A.T + 0.1 * np.eye(d), draw.pick([0.0, 1.5])
        cov = draw.pick([cov, np.diag(np.diag(cov))])
        return Value(QuadraticTarget(B, b0, input_cov=cov), "good", Inputs(B, b0, np.linalg.cholesky(cov)))
    return trained(draw, d, 0.3)


def trained(draw: Draw, d: int, share: float) -> Value:
    """A target of standard normal inputs or, in a share of all calls, a mixture; plain is (B, b0) or a Pair."""
    if not draw.chance(share):
        return grammar.target(draw, d)
    kind = "odd" if draw.kind() != "good" else "good"
    pair = _pair(draw, d, kind == "odd")
    try:
        return Value(GaussianMixture(*pair), kind, pair)
    except ValueError:  # rounding at the edge
        return grammar.target(draw, d)


def gaussian_mixture(draw: Draw) -> Call:
    d = draw.size(1, 6)
    odd = draw.chance(draw.spoil)
    pair = _pair(draw, d, odd)
    diagonal = np.count_nonzero(pair.Sigma) <= d and draw.chance(0.5)
    shown = [np.diag(matrix) for matrix in pair] if diagonal else list(pair)
    bad = [np.triu(np.ones((3, 3))), np.ones((2, 3)), np.ones((2, 2, 2)), np.eye(d + 1), -np.eye(d)]
    Sigma = values.array(draw, shown[0].shape, base=shown[0], bad=[*bad, np.zeros((d, d))])
    Delta = values.array(draw, shown[1].shape, base=shown[1], bad=[*bad[:-1], 2 * pair.Sigma, -2 * pair.Sigma])
    # Rounding of one matrix may make a class of no spread one of less than none.
    arguments = {"Sigma": Sigma._replace(kind="odd" if Sigma.kind == "good" else Sigma.kind)}
    arguments["Delta"] = Delta._replace(kind="odd" if Delta.kind == "good" else Delta.kind)
    n, rng, dtype = values.count(draw, 4), values.seed(draw), values.option(draw, ["float32", "float64"])
    sampled = draw.chance(0.5)
    if sampled:
        arguments |= {"n": n, "rng": rng, "dtype": dtype}

    def function(Sigma: Any, Delta: Any, n: Any = 4, rng: Any = 0, dtype: Any = "float64") -> Any:
        made = GaussianMixture(Sigma, Delta)
        found = made, made.null_risk, made.mean, *made.modes
        return (*found, *made.sample(n, rng=rng, dtype=dtype)) if sampled else found

    def check(result: Any) -> str | None:
        made, _, _, A, delta = result[:5]
        size = float(np.abs(made.Sigma).max())
        wrong = oracles.differs(A @ A.T / size, made.Sigma / size, 1e-12, 1.0)
        wrong = wrong or oracles.differs((A * delta) @ A.T / size, made.Delta / size, 1e-12, 1.0)
        if sampled and not wrong:
            X, y = result[5:]
            wrong = None if X.shape == (len(y), made.d) and set(y.tolist()) <= {-1.0, 1.0} else f"is {X.shape}, {y}"
        return wrong

    known = not any(argument.kind == "bad" for argument in arguments.values())
    return Call("GaussianMixture", function, arguments, check if known else None)


def exponential_mixture(draw: Draw) -> Call:
    arguments = {"d": values.count(draw, draw.size(1, 9)), "rng": values.seed(draw)}
    strengths = [1.0, 0.5, 0.0]
    maybe(draw, arguments, "strength", lambda: values.real(draw, strengths, low=0.0))
    if "strength" in arguments and arguments["strength"].kind == "odd":
        arguments["strength"] = arguments["strength"]._replace(plain=None)

    def check(plain: Any, result: Any) -> str | None:
        delta = result.modes.delta
        fine = result.d == plain["d"] and (delta >= 0).all() and (delta <= 1).all()
        return None if fine else f"is {result!r}"

    return call("exponential_mixture", arguments, check)


def bayes_risk(draw: Draw) -> Call:
    arguments = {"target": learned(draw, draw.size(1, 4)), "rng": values.seed(draw)}
    if not isinstance(arguments["target"].plain, Pair):  # of a function, which has no Bayes risk
        arguments["target"] = arguments["target"]._replace(kind="bad")
    maybe(draw, arguments, "n_samples", lambda: values.count(draw, 300, minimum=2))

    def check(plain: Any, result: Any) -> str | None:
        return None if 0 <= result.risk <= 1 and 0 <= result.error <= 0.5 else f"is {result}"

    return call("bayes_risk", arguments, check)


def bayes_record(draw: Draw) -> Call:
    arguments = {"risk": Value(0.5), "error": Value(0.01)}
    return call("BayesRisk", arguments, lambda plain, made: None if tuple(made) == (0.5, 0.01) else f"is {made}")


ENTRIES: dict[str, Entry] = {
    "GaussianMixture": gaussian_mixture,
    "exponential_mixture": exponential_mixture,
    "bayes_risk": bayes_risk,
    "BayesRisk": bayes_record,
}
