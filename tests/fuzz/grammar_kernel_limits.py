"""The grammar of the kernels of infinitely many neurons."""

from __future__ import annotations

from typing import Any

import naive_moments
import numpy as np

from fuzz import functions, oracles
from fuzz.grammar import Entry, call, covariance, rows, rows_alone
from fuzz.judge import Call
from fuzz.values import Draw


def kernel_limit(name: str) -> Entry:
    """The entry of `rf_kernel_limit` or `nt_kernel_limit`."""
    tangent = name == "nt_kernel_limit"

    def entry(draw: Draw) -> Call:
        n, m, d = draw.size(1, 2), draw.size(1, 2), draw.size(1, 4)
        sigma, twin = functions.activation(draw, tangent=tangent)
        if tangent and twin is not None and twin.jumps:  # samples may be too short to see the jump
            sigma = sigma._replace(kind="odd")
        arguments = {"X": rows_alone(draw, n, d), "activation": sigma}
        if draw.chance(0.5):
            arguments["Y"] = rows(draw, m, d, none=False)
        if draw.chance(0.4):
            arguments["cov"] = covariance(draw, d)
        wide = [key for key in ("X", "Y") if np.shape(getattr(arguments.get(key), "plain", None))[1:] == (d + 1,)]
        for key in ("X", "Y"):  # a column more is as good where all have it
            if getattr(getattr(arguments.get(key), "value", None), "shape", ())[1:] == (d + 1,) and wide:
                arguments[key] = arguments[key]._replace(kind="odd")

        def check(plain: Any, got: Any) -> str | None:
            if plain["X"].shape[1] != d:
                return None
            root = _root(plain.get("cov"), d)
            if twin is None or root is None:
                return None
            X, Y = plain["X"], plain.get("Y")
            if Y is None and not np.array_equal(got, got.T):
                return "is not symmetric to the bit"
            sides = X @ root, (X if Y is None else Y) @ root
            found = _slopes(*sides, twin) if tangent else _features(*sides, twin)
            if found is None:
                return None
            want, scale = found
            products = X @ (X if Y is None else Y).T if tangent else 1.0
            size = scale * (np.linalg.norm(X, axis=1).max() * np.linalg.norm(X if Y is None else Y, axis=1).max())
            return oracles.differs(
                got, want * products, 1e-9 if got.dtype == np.float64 else 1e-4, size if tangent else scale
            )

        return call(name, arguments, check)

    return entry


def _root(cov: Any, d: int) -> np.ndarray | None:
    """A root of the covariance, (d, d), if it is well-conditioned."""
    if cov is None:
        return np.eye(d) / np.sqrt(d)
    values, vectors = np.linalg.eigh(np.diag(cov) if cov.ndim == 1 else cov)
    return vectors * np.sqrt(values) if values[0] > 1e-3 * values[-1] else None


def _features(R: Any, S: Any, twin: functions.Twin) -> Any:
    """E[sigma sigma] for all pairs of rows, and the norms of both features."""
    found = oracles.moments(twin, np.concatenate([R, S]), np.eye(R.shape[1]))
    if found is None:
        return None
    means, U, _ = found
    U = U + np.outer(means, means)
    norms = np.sqrt(np.abs(np.diag(U)))
    return U[: len(R), len(R) :], np.outer(norms[: len(R)], norms[len(R) :])


def _slopes(R: Any, S: Any, twin: functions.Twin) -> Any:
    """E[sigma' sigma'] for all pairs of rows, and the norms of both slopes."""
    r, s = oracles.lengths(R), oracles.lengths(S)
    if twin.slope is None or twin.wild or twin.jumps or not oracles.moderate(np.concatenate([r, s]), twin):
        return None
    cosines = (R @ S.T) / np.outer(r, s)
    if np.any((np.abs(cosines) > 0.999) & (np.abs(cosines) < 1 - 1e-14)):
        return None
    cosines = np.where(np.abs(cosines) > 0.999, np.sign(cosines), cosines)
    want = [
        [naive_moments.plane(twin.slope, r[i], s[j], cosines[i, j], twin.kinks)[0] for j in range(len(s))]
        for i in range(len(r))
    ]
    norms = [
        np.array([naive_moments.plane(twin.slope, x, x, 1.0, twin.kinks)[0] for x in lengths]) ** 0.5
        for lengths in (r, s)
    ]
    return np.array(want), np.outer(*norms)


ENTRIES: dict[str, Entry] = {name: kernel_limit(name) for name in ("rf_kernel_limit", "nt_kernel_limit")}
