"""What a training run does to its weights, exact at each record: how far they go, and whether it is lazy.

The run takes place on rows R in the eigenbasis of its target, scaled and reduced as `fastlazy.training.start` says. Of
all that is measured here only the directions depend on this; they are turned back.

For sigma = x^2 what the linearisation leaves out is a quadratic form in how far the weights have moved, and is known to
all its digits. For another sigma it is a combination of features at W and W_0 and of tangent features at W_0
(`fastlazy.kernels.joint_gram`), whose second moment is the small difference of large numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from fastlazy._core.sgd import State
from fastlazy._support.arguments import Array
from fastlazy._support.summaries import Facts, html_table, one_line
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.kernels.joint_gram import Tangents, joint_gram, tangents_at
from fastlazy.risk.captured import eigendirections, shares
from fastlazy.targets.quadratic import QuadraticFunction, quadratic_form
from fastlazy.training.sizes import bends

SQUARE = get_activation("square")


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """How lazy a training run was: exact values at each record, not estimates.

    "Trained" is the function that is trained: the network f, or alpha (f - f_0) + c under lazy scaling.

    Attributes
    ----------
    travelled_W : ndarray, shape (k,)
        |W - W_0|_F / |W_0|_F, or |W - W_0|_F for a W_0 of zeros.
    travelled_a : ndarray, shape (k,)
        |a - a_0| / |a_0| of the second layer, or |a - a_0| for an a_0 of zeros.
    linearization_error : ndarray, shape (k,)
        Mean squared distance E (f - f_lin)^2 of what is trained and its linearisation at the start (`linearize`);
        not divided by the null risk. Exact to all digits for x^2. For another sigma rounding changes it by up to 1e-14
        alpha^2 sum_i a_i^2 E sigma(<w_i, x>)^2, as `population_distance` says, and the next two likewise.
    linearization_error_nt : ndarray, shape (k,)
        The same of the part that the tangent model leaves out, sum_i a0_i (sigma(<w_i, x>) - sigma(<w0_i, x>) -
        <w_i - w0_i, x> sigma'(<w0_i, x>)); for x^2 that is sum_i a0_i <w_i - w0_i, x>^2.
    linearization_error_rf : ndarray, shape (k,)
        The same of the part that random features leave out, sum_i (a_i - a0_i) (sigma(<w_i, x>) - sigma(<w0_i, x>)).
        The functions add up to f - f_lin; their errors do so but for twice their inner product.
    overlap : ndarray, shape (k,)
        Share of the row space of W_0 that is in that of W: the sum of squared cosines of the angles between them over
        the dimension of the former. 1 while the directions are those at the start, and where W_0 spans the space.
    angles : ndarray, shape (k, m)
        Principal angles, ascending, between the row space of W and the span of the m eigenvectors of B largest in
        modulus, m the lesser of N and the rank of B. 0 where W_0 spans the space.
    captured : ndarray, shape (k, d)
        Share of each eigendirection that what is trained has captured (`captured_share`), descending eigenvalues. For
        another sigma than x^2 it is that of its part of degree two, <x, S x> - tr S with S = sum_i a_i h_2(|w_i|) / 2
        u_i u_i^T, where h_2(r) = E[sigma(r G) (G^2 - 1)] and u_i = w_i / |w_i|.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> fit = fastlazy.fit_nn(target, 5, n_samples=2000, rng=0, n_records=3, diagnostics=True)
    >>> records = fit.diagnostics
    >>> float(records.travelled_W[0]), records.travelled_W.shape
    (0.0, (3,))
    >>> records.captured.shape  # of 20 eigendirections at each record
    (3, 20)
    """

    travelled_W: Array
    travelled_a: Array
    linearization_error: Array
    linearization_error_nt: Array
    linearization_error_rf: Array
    overlap: Array
    angles: Array
    captured: Array

    def __repr__(self) -> str:
        return one_line(self, self._facts)

    def _repr_html_(self) -> str:
        return html_table("Diagnostics at the last record", self._facts)

    @property
    def _facts(self) -> Facts:
        last = {name: float(getattr(self, name)[-1]) for name in SINGLES}
        return {"records": len(self.overlap), **last}


SINGLES = [field.name for field in fields(Diagnostics)][:-2]


class Watch:
    """Looks at the states of a run, and keeps nothing.

    Parameters
    ----------
    target : QuadraticTarget
        What is to be learned.
    basis : ndarray, shape (d, d), or None
        Columns in which the run takes place; None for the identity.
    start : State
        The first state of the run.
    N : int
        Neurons; the rows of a reduced run are fewer.
    subtracted : bool
        Whether the function at the start is subtracted from what is trained.
    activation : Activation
        The non-linearity.
    parallel : bool
        False: on the calling thread alone.
    """

    def __init__(
        self,
        target: QuadraticFunction,
        basis: Array | None,
        start: State,
        N: int,
        subtracted: bool,
        activation: Activation = SQUARE,
        parallel: bool = True,
    ) -> None:
        self.eigenvalues = target.eigenvalues
        self.N, self.activation, self.parallel = N, activation, parallel
        self.hidden = False  # whether rounding may hide the linearisation error of the last record
        self.rows, self.a = self._trained(start)
        self.tangents = None if activation.is_square else tangents_at(self.rows, activation, parallel)
        vectors = eigendirections(target)
        self.directions = vectors if basis is None else basis.T @ vectors
        # A plain run takes place in the eigenbasis of B itself, where a choice of columns is all it takes.
        self.order = np.argmax(np.abs(self.directions), axis=0)
        self.ordered = bool(np.abs(self.directions[self.order, np.arange(target.d)]).min() > 1 - 1e-12)
        self.learned = self._learned(self.rows, self.a) if subtracted else np.zeros(target.d)
        rank = int(np.count_nonzero(np.abs(self.eigenvalues) > 1e-12 * np.abs(self.eigenvalues).max()))
        self.top = np.argsort(-np.abs(self.eigenvalues), kind="stable")[: min(N, max(rank, 1))]
        # A step multiplies the rows by a matrix that is regular with probability 1, so rows that span the whole space
        # at the start go on to span it.
        self.whole = np.linalg.matrix_rank(self.rows) == target.d
        self.space = _row_space(self.rows)

    def __call__(self, state: State) -> Array:
        """The values of one record, in a row: five numbers, the overlap, m angles and d shares."""
        rows, a = self._trained(state)
        moved = rows - self.rows
        return np.concatenate(
            [
                [_relative(moved, self.rows), _relative(a - self.a, self.a)],
                self._linearization_errors(rows, a, moved),
                self._angles(rows),
                shares(self._learned(rows, a) - self.learned, self.eigenvalues),
            ]
        )

    def collect(self, records: list[Array]) -> Diagnostics:
        """The table of all *records*."""
        table = np.array(records)
        m = len(self.top)
        singles = dict(zip(SINGLES, table.T, strict=False))
        return Diagnostics(**singles, angles=table[:, len(singles) :][:, :m], captured=table[:, len(singles) + m :])

    def _trained(self, state: State) -> tuple[Array, Array]:
        """The rows and the second layer of the neurons that are trained, which are the first."""
        return state.W[: self.N], state.gain * state.a[: self.N]

    def _learned(self, rows: Array, a: Array) -> Array:
        """The diagonal <v_j, S v_j> (d,) of the matrix of the part of degree two."""
        if not self.activation.is_square:
            unit, r = unit_rows(rows)
            rows, a = unit, a * bends(self.activation, r)
        return np.asarray(a @ self._in_eigenbasis(rows) ** 2)

    def _in_eigenbasis(self, rows: Array) -> Array:
        return rows[:, self.order] if self.ordered else rows @ self.directions

    def _linearization_errors(self, rows: Array, a: Array, moved: Array) -> list[float]:
        """Of the whole, of what NT and of what RF leave out."""
        change = a - self.a
        if self.tangents is not None:
            return self._general_errors(self.tangents, rows, change, moved)
        if not change.any():
            nt = _second_moment(moved, self.a)
            return [nt, nt, 0.0]
        left_by_nt = quadratic_form(moved, self.a)
        left_by_rf = quadratic_form(rows, change) - quadratic_form(self.rows, change)
        return [_form_moment(left_by_nt + left_by_rf), _form_moment(left_by_nt), _form_moment(left_by_rf)]

    def _general_errors(self, tangents: Tangents, rows: Array, change: Array, moved: Array) -> list[float]:
        """The same for another sigma, as combinations of features at both ends and of tangent features at the start."""
        if not (change.any() or moved.any()):
            return [0.0, 0.0, 0.0]
        gram = joint_gram(np.vstack([rows, self.rows]), tangents, self.activation, self.parallel)
        tangent = -self.a[:, None] * moved
        combinations = ((self.a + change, tangent), (self.a, tangent), (change, np.zeros_like(tangent)))
        errors = [gram.moment(np.concatenate([a, -a]), b) for a, b in combinations]
        self.hidden = errors[0][1] > errors[0][0]
        return [error for error, _ in errors]

    def _angles(self, rows: Array) -> Array:
        """The overlap, and the principal angles."""
        if self.whole:
            return np.concatenate([[1.0], np.zeros(len(self.top))])
        space = _row_space(rows)
        overlap = np.sum((space.T @ self.space) ** 2) / max(1, self.space.shape[1])
        cosines = space[self.order[self.top]] if self.ordered else self.directions[:, self.top].T @ space
        squares = np.linalg.eigvalsh(cosines @ cosines.T)[::-1]
        return np.concatenate([[overlap], np.arccos(np.sqrt(np.clip(squares, 0, 1)))])


def _relative(moved: Array, start: Array) -> float:
    return float(np.linalg.norm(moved) / (np.linalg.norm(start) or 1.0))


def _form_moment(S: Array) -> float:
    """E <x, S x>^2."""
    return 2 * float(np.sum(S**2)) + float(np.trace(S)) ** 2


def _second_moment(rows: Array, a: Array) -> float:
    """E (sum_i a_i <w_i, x>^2)^2, by the smaller of two products."""
    n, d = rows.shape
    if d < n:
        return _form_moment(quadratic_form(rows, a))
    gram = rows @ rows.T
    return 2 * float(a @ gram**2 @ a) + float(a @ gram.diagonal()) ** 2


def _row_space(rows: Array) -> Array:
    """An orthonormal basis of the row space, in columns."""
    Q, R = np.linalg.qr(rows.T)
    size = np.abs(R.diagonal())
    if size.min() > 1e-10 * size.max():
        return Q
    _, values, basis = np.linalg.svd(rows, full_matrices=False)
    return basis[values > 1e-10 * values[0]].T
