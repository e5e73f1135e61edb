"""What results must be: each function returns None, or how a result is wrong; None too if it cannot say."""

from __future__ import annotations

from typing import Any

import naive
import naive_curves
import naive_fits
import naive_lazy
import naive_moments
import numpy as np

from fuzz.functions import Twin

_MODERATE = 0.05, 20.0  # lengths of rows at which the panels of `naive_moments` have all digits


# An exponential moves the mass outwards by 2 r, and a panel holds few waves.
_SHORTER = {"exp": 2.0, "snake": 4.0}


def differs(got: Any, want: Any, tolerance: float, scale: Any = None) -> str | None:
    """How *got* differs from *want* by more than so much of the scale, by default that of the largest entry."""
    got, want = np.asarray(got, np.longdouble), np.asarray(want, np.longdouble)  # for oracles that need the range
    if got.shape != want.shape:
        return f"has shape {got.shape}, not {want.shape}"
    if not np.isfinite(want).all():
        return "is finite where the right value is not"
    size = np.max(np.abs(want), initial=0.0) if scale is None else scale
    error = np.abs(got - want)
    if np.all(error <= tolerance * size + 1e-300):
        return None
    worst = np.unravel_index(np.argmax(error - tolerance * size), got.shape)
    return f"is {got[worst]:.10g} for {want[worst]:.10g}, off by more than {tolerance:g} of its scale"


def lengths(W: np.ndarray) -> np.ndarray:
    largest = np.abs(W).max(axis=1, keepdims=True)
    return (largest * np.linalg.norm(W / np.where(largest > 0, largest, 1), axis=1, keepdims=True))[:, 0]


def _cosines(W: np.ndarray) -> np.ndarray:
    r = lengths(W)
    unit = W / np.where(r > 0, r, 1)[:, None]
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-300)
    return unit @ unit.T


def _off_diagonal(W: np.ndarray) -> float:
    """The largest cosine, in modulus, of two rows."""
    cosines = np.abs(_cosines(W))
    np.fill_diagonal(cosines, 0)
    return float(cosines.max())


def smallest_angle(W: np.ndarray) -> float:
    """The smallest angle, at least 1e-7, of two rows or of one and another's opposite."""
    r = lengths(W)
    unit = W[r > 0] / r[r > 0, None]
    sides = [np.linalg.norm(unit[:, None] - sign * unit, axis=2) for sign in (1, -1)]
    angles = np.minimum(*sides) + 2 * np.eye(len(unit))
    return float(np.min(angles[angles > 1e-7], initial=1.0))


def moderate(r: Any, twin: Twin | None = None) -> bool:
    """Whether rows of these lengths are within the panels."""
    most = _MODERATE[1] if twin is None else _SHORTER.get(twin.name, _MODERATE[1])
    return bool(np.min(r) >= _MODERATE[0] and np.max(r) <= most)


def _in_closed_form(twin: Twin, W: np.ndarray) -> bool:
    """Whether the closed forms can say it: the exponential ones in numbers that have an exponent."""
    r = lengths(W)
    fine = not np.any(r[r > 0] < 1e-25) and r.max() < (20 if twin.name in ("exp", "sin", "cos") else 1e140)
    return twin.name in naive_moments.CLOSED and len(W) <= 8 and fine


def moments(twin: Twin, W: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Means, covariances, and covariances with the target of the features; None if there is no oracle."""
    if _in_closed_form(twin, W):
        means, U, V = naive_moments.closed_moments(twin.name, W, B, 120)
        return np.array(means, float), np.array(U.tolist(), float), np.array(V, float)
    if twin.wild or not moderate(lengths(W), twin) or len(W) > 4:
        return None
    r, cosines = lengths(W), _cosines(W)
    if np.any((np.abs(cosines) > 0.999) & (np.abs(cosines) < 1 - 1e-14)):
        return None
    h = np.array([naive_moments.line(twin.function, x, twin.kinks, (0, 2)) for x in r])
    U = np.empty((len(W), len(W)))
    for i in range(len(W)):
        for j in range(i + 1):
            cosine = cosines[i, j] if i != j else 1.0
            (moment,) = naive_moments.plane(twin.function, r[i], r[j], cosine, twin.kinks)
            U[i, j] = U[j, i] = moment - h[i, 0] * h[j, 0]
    return h[:, 0], U, np.einsum("ij,jk,ik->i", W, B, W) * (h[:, 1] - h[:, 0]) / r**2


def hermite(twin: Twin | None, r: Any, k: int, got: Any) -> str | None:
    """Hermite coefficients against moments E[sigma(r G) G^j], for the few that these have the digits of."""
    scales = np.atleast_1d(r)
    if twin is None or twin.wild or k > 6 or not moderate(scales, twin):
        return None
    powers = np.zeros((k, k))
    for j in range(k):
        powers[j, : j + 1] = np.polynomial.hermite_e.herme2poly([0.0] * j + [1.0])
    moments = np.array([naive_moments.line(twin.function, x, twin.kinks, tuple(range(k))) for x in scales])
    sizes = [naive_moments.line(lambda x: np.abs(twin.function(x)), x, twin.kinks)[0] for x in scales]
    size = 100 * np.array(sizes)[:, None] * np.abs(powers).sum(axis=1)
    return differs(got, (moments @ powers.T).reshape(*np.shape(r), k), 1e-12, size.reshape(*np.shape(r), k))


def kernel(X: Any, W: Any, twin: Twin | None, Y: Any, got: np.ndarray, tangent: bool = False) -> str | None:
    """Against all features, stored; what rounding of <w, x> may do is allowed for."""
    function = None if twin is None else twin.slope if tangent else twin.function
    if function is None:
        return None
    eps, Y = np.finfo(got.dtype).eps, X if Y is None else Y

    def value(sign: int) -> np.ndarray:
        features = []
        for Z in (X, Y):
            arguments = Z @ W.T + sign * 4 * eps * (np.abs(Z) @ np.abs(W).T)
            features.append(function(arguments))
        products = X @ Y.T if tangent else 1.0
        return features[0] @ features[1].T / len(W) * products

    want = value(0)
    spread = max(float(np.abs(value(sign) - want).max()) for sign in (-1, 1))
    if twin.wild or not np.isfinite(spread) or np.abs(want).max() < 1e-290:
        return None
    products = float(np.abs(X @ Y.T).max()) if tangent else 1.0
    # Far out, a slope that was written as 1 - tanh^2 is rounding.
    scale = float(np.abs(want).max()) + spread / eps + eps * products
    return differs(got, want, 100 * eps * W.shape[1] ** 0.5, scale)


def normal_equations(X: Any, y: Any, W: Any, twin: Twin | None, got: Any) -> str | None:
    if twin is None:
        return None
    wrong = kernel(W, X, twin, None, got[0])
    if wrong or twin.jumps or twin.wild:
        return wrong
    features, eps = twin.function(X @ W.T), np.finfo(got[1].dtype).eps
    scale = np.abs(features).max() * np.abs(y).max() * (1 + np.abs(X).max() * np.abs(W).max())
    return differs(got[1], features.T @ y / len(X), 1e3 * eps, scale)


def rf_gram(W: Any, twin: Twin | None, center: bool, got: np.ndarray) -> str | None:
    if not np.array_equal(got, got.T):
        return "is not symmetric to the bit"
    found = None if twin is None else moments(twin, W, np.eye(W.shape[1]))
    if found is None:
        return None
    means, U, _ = found
    want = U if center else U + np.outer(means, means)
    # Of what is found by panels, a covariance has the digits that its subtraction leaves.
    of_size = want if _in_closed_form(twin, W) else U + np.outer(means, means)
    root = np.sqrt(np.abs(of_size.diagonal()))
    return differs(got, want, 1e-10 if got.dtype == np.float64 else 1e-4, np.outer(root, root))


def rf_risk(B: Any, W: Any, twin: Twin | None, ridge: float, got: float) -> str | None:
    null = 2 * float(np.sum(B**2))
    if not -1e-12 * null <= got <= null * (1 + 1e-12):
        return f"is {got:.6g}, outside 0 to the null risk {null:.6g}"
    if twin is None:
        return None
    if _in_closed_form(twin, W) and len(W) <= 6:
        exact = naive_moments.rf_risk(twin.name, W, B, ridge)
        most = exact
        if _off_diagonal(W) > 1 - 1e-11 and ridge == 0:  # rows that may count as one
            kept = [i for i in range(len(W)) if i == 0 or np.abs(_cosines(W)[i, :i]).max() < 1 - 1e-11]
            most = max(exact, naive_moments.rf_risk(twin.name, W[kept], B, ridge))
        if exact - 1e-7 * null <= got <= most + 1e-7 * null:
            return None
        return f"is {got:.10g} for {exact:.10g}, the null risk {null:.6g}"
    found = moments(twin, W, B)
    if found is None:
        return None
    _, U, V = found
    root = np.sqrt(np.where(U.diagonal() > 0, U.diagonal(), 1))
    if not np.isfinite(U).all() or np.linalg.cond(U / np.outer(root, root)) > 1e7:
        return None
    a = np.linalg.solve(U + ridge * np.eye(len(U)), V)
    return differs(got, null - 2 * a @ V + a @ U @ a, 1e-7, null)


def network_risk(B: Any, b0: float, W: Any, a: Any, c: float, twin: Twin | None, got: float) -> str | None:
    if twin is None:
        return None
    layer = np.broadcast_to(a, len(W))
    if twin.name == "square" and not twin.own:
        S = (W.T * layer) @ W
        return differs(got, form_distance(S, c, B, b0), 1e-10, 1 + _form_size(S, c) + _form_size(B, b0))
    found = moments(twin, W, B)
    if found is None:
        return None
    means, U, V = found
    if not np.isfinite(U).all():  # which a small a may bring back
        return None
    shift = c - b0 - np.trace(B)
    parts = 2 * np.sum(B**2), -2 * (layer @ V), layer @ U @ layer, (layer @ means + shift) ** 2
    return differs(got, sum(parts), 1e-9, np.sum(np.abs(parts)) + (np.abs(layer) @ np.abs(means)) ** 2 + shift**2)


def form_distance(S: Any, c: float, B: Any, b0: float) -> float:
    """E (<x, S x> + c - <x, B x> - b0)^2."""
    mean = float(np.trace(S - B)) + c - b0
    return 2 * float(np.sum((S - B) ** 2)) + mean * mean


def _form_size(S: Any, c: float) -> float:
    return form_distance(np.abs(S), abs(c), 0 * S, 0.0)


def tangent_moments(twin: Twin, W: Any, B: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Mean, covariance and covariance with the target of the features sigma'(<w_i, x>) x_j, in row-major order."""
    cosines, (N, d) = _cosines(W), W.shape
    far = not np.any((np.abs(cosines) > 0.999) & ~np.eye(N, dtype=bool))
    if twin.slope is None or twin.wild or twin.jumps or not (moderate(lengths(W), twin) and far and N <= 3):
        return None
    r = lengths(W)
    K, V, mean = np.empty((N, d, N, d)), np.empty((N, d)), np.empty((N, d))
    for i in range(N):
        u = W[i] / r[i]
        first, third = naive_moments.line(twin.slope, r[i], twin.kinks, (1, 3))
        mean[i] = first * u
        V[i] = 2 * first * (B @ u - (u @ B @ u) * u) + (third - first) * (u @ B @ u) * u
        for j in range(N):
            cosine = cosines[i, j] if i != j else 1.0
            powers = ((2, 0), (0, 2), (0, 0), (1, 1))
            along, across, outside, mixed = naive_moments.plane(twin.slope, r[i], r[j], cosine, twin.kinks, powers)
            second = W[j] / r[j] - cosine * u
            second = second / np.linalg.norm(second) if i != j else 0 * u
            plane = np.stack([u, second])
            inside = plane.T @ np.array([[along, mixed], [mixed, across]]) @ plane
            K[i, :, j] = outside * (np.eye(d) - plane.T @ plane) + inside
    K = K.reshape(N * d, N * d) - np.outer(mean.ravel(), mean.ravel())
    return mean.ravel(), (K + K.T) / 2, V.ravel()


def nt_risk(B: Any, W: Any, twin: Twin | None, ridge: float, got: float) -> str | None:
    null, N = 2 * float(np.sum(B**2)), len(W)
    if not -1e-12 * null <= got <= null * (1 + 1e-7):
        return f"is {got:.6g}, outside 0 to the null risk {null:.6g}"
    if twin is None or null == 0:
        return None
    if twin.name in ("square", "he2") and not twin.own:
        if ridge > 0:
            sizes = lengths(W)
            fine = moderate(lengths(W)) and ridge > 1e-6
            return differs(got, naive.ridge_risk(naive.nt_forms(W), B, ridge), 1e-7, null) if fine else None
        r = lengths(W)
        _, sizes, basis = np.linalg.svd(W[r > 0] / r[r > 0, None], full_matrices=True)
        if np.any((sizes < 1e-6) & (sizes > 3e-16)):
            return None
        off = basis[np.count_nonzero(sizes > 1e-8) :]
        return differs(got, 2 * np.sum((off @ B @ off.T) ** 2), 1e-9, null)
    found = tangent_moments(twin, W, B) if N <= 3 else None
    if found is None:
        return None
    _, K, V = found
    values, vectors = np.linalg.eigh(K)
    there = values > 1e-10 * values[-1]
    v = vectors[:, there].T @ V
    kept = values[there] + ridge
    want = null - float(np.sum(v**2 / kept * (1 + ridge / kept)))
    if want - 1e-7 * null <= got <= want + 1e-5 * null:
        return None
    return f"is {got:.10g} for {want:.10g}, the null risk {null:.6g}"


def learning_curve(
    regime: str, B: Any, W: Any, twin: Twin | None, n: np.ndarray, ridge: np.ndarray, got: np.ndarray
) -> str | None:
    """Against the formula in matrices, where the covariances are known and K is regular."""
    null = 2 * float(np.sum(B**2))
    few = twin is not None and null > 0 and not (regime == "NT" and len(W) > 3)
    found = (moments if regime == "RF" else tangent_moments)(twin, W, B) if few and twin is not None else None
    if found is None:
        return None
    _, K, V = found
    values = np.linalg.eigvalsh(K) if np.isfinite(K).all() else np.zeros(1)
    if not values[0] > 1e-6 * values[-1] or not 1e-6 < values[-1] < 1e6:
        return None
    wanted = np.array(got, copy=True)
    for place, _ in np.ndenumerate(got):
        size, penalty = float(n[place[: n.ndim]]), float(ridge[place[n.ndim :]])
        usual = np.isfinite(size) and size < 1e9 and (penalty == 0 or 1e-9 < penalty < 1e9)
        if usual and abs(size - len(K)) > 0.1 and (penalty > 0 or size < len(K)):
            wanted[place] = naive_curves.curve(K, V, null, size, penalty)
    finite = np.isfinite(got)
    return differs(got[finite], wanted[finite], 1e-5, np.maximum(wanted[finite], null))


def tangent_risk(B: Any, b0: float, W: Any, b: Any, c: float, twin: Twin | None, got: float) -> str | None:
    if twin is not None and twin.name == "square" and not twin.own:
        S = W.T @ b + b.T @ W
        return differs(
            got, form_distance(S, c, B, b0), 1e-10, 1 + _form_size(np.abs(W).T @ np.abs(b), c) * 4 + _form_size(B, b0)
        )
    found = None if twin is None else tangent_moments(twin, W, B)
    if found is None:
        return None
    mean, K, V = found
    flat, shift = b.ravel(), c - b0 - np.trace(B)
    parts = 2 * np.sum(B**2), -2 * flat @ V, flat @ K @ flat, (flat @ mean + shift) ** 2
    return differs(got, sum(parts), 1e-8, np.sum(np.abs(parts)) + (np.abs(flat) @ np.abs(mean)) ** 2 + shift**2)


def rf_limit(B: Any, N: int, twin: Twin | None, cov: Any, refined: bool, got: float) -> str | None:
    d, null = len(B), 2 * float(np.sum(B**2))
    if not -1e-12 * null <= got <= null * (1 + 1e-9):
        return f"is {got:.6g}, outside 0 to the null risk {null:.6g}"
    if twin is None or twin.wild or null == 0 or N > 1e4 or d > 6:
        return None
    gamma = np.eye(d) / d if cov is None else np.diag(cov) if np.ndim(cov) == 1 else cov
    length = np.sqrt(np.trace(gamma))
    if not moderate(length, twin) or np.linalg.cond(gamma) > 1e6:
        return None
    if refined and twin.name not in ("square", "he2") and np.ptp(np.linalg.eigvalsh(gamma)) < 1e-9 * length**2:
        return None  # by sectors of harmonics, which have a twin of their own
    h0, h1, h2 = naive_moments.line(twin.function, length, twin.kinks, (0, 1, 2))
    square = naive_moments.line(lambda x: twin.function(x) ** 2, length, twin.kinks)[0]
    if square == 0:
        return None
    lam1, lam2 = h1 / np.sqrt(square), (h2 - h0) / np.sqrt(square)
    tau = 1 - h0**2 / square - lam1**2 - lam2**2 / 2
    if abs(lam2) < 1e-6 or tau < 1e-6 < abs(tau - 0.0) or (refined and tau < 1e-6):
        return None
    law = naive.rf_limit_refined if refined else naive.rf_limit
    want = null * law(B / np.abs(B).max(), gamma, N, lam1, lam2, max(tau, 0.0))
    return differs(got, want, 1e-6, null)


def nt_limit(B: Any, N: int, twin: Twin | None, cov: Any, refined: bool, got: float) -> str | None:
    d, null = len(B), 2 * float(np.sum(B**2))
    if not -1e-12 * null <= got <= null * (1 + 1e-9):
        return f"is {got:.6g}, outside 0 to the null risk {null:.6g}"
    gamma = np.eye(d) / d if cov is None else np.diag(cov) if np.ndim(cov) == 1 else cov
    if twin is None or twin.own or twin.name != "square" or null == 0 or refined:
        return None
    gamma = gamma / np.trace(gamma)
    if d <= N or np.linalg.cond(gamma) > 1e4:
        return None
    return differs(got, null * naive.nt_limit(B / np.abs(B).max(), gamma, N), 1e-6, null)


def nn_risk(B: Any, N: int, got: float) -> str | None:
    largest = max(float(np.abs(B).max()), 1e-300)
    values = np.sort(np.abs(np.linalg.eigvalsh(B / largest)))[::-1]
    return differs(got / largest / largest, 2 * np.sum(values[N:] ** 2), 1e-10, 2 * np.sum(values**2) + 1e-300)


def lazy_risk(B: Any, W: Any, a: Any, scale: float, got: float) -> str | None:
    layer = np.broadcast_to(a, len(W))
    null = 2 * float(np.sum(B**2))
    digits = 400 if max(scale, np.abs(W).max(), np.abs(layer).max()) < 1e50 else 2000
    S0 = naive_moments.form(W, layer, digits)
    used = lengths(W) > 0
    spans = np.linalg.svd(W[used] / lengths(W)[used, None], compute_uv=False)
    if np.any(spans < 1e-8 * spans.max(initial=0)):  # of rows that may depend on each other
        return None
    signs = int(np.sum(layer > 0)), int(np.sum(layer < 0))
    want = naive_moments.best_of_signs(B, S0, scale, *signs, digits=digits)
    return differs(got, want, 1e-7, max(null, want))


def captured(B: Any, S: Any, got: Any) -> str | None:
    values = np.linalg.eigvalsh(B)
    if np.abs(np.diff(values)).min(initial=np.inf) < 1e-3 * np.abs(values).max() or np.abs(values).min() < 1e-3:
        return None
    return differs(got, naive_lazy.captured(S, B), 1e-9, 1 + np.abs(S).max() / np.abs(values).min())


def ridge_fit(F: Any, y: Any, fit: tuple[float, bool, Any], F_new: Any, got: Any, eps: float) -> str | None:
    """Predictions of a ridge regression on stored features; y (n,) or (n, t); *fit*: alpha, intercept, weights (n,)."""
    alpha, intercept, weight = fit
    if not np.isfinite(F).all() or not np.isfinite(F_new).all():
        return None
    size = np.linalg.norm(np.sqrt(weight)[:, None] * F, 2) ** 2 if F.size else 0.0
    if not (alpha > 1e-6 * size and size < 1e12 and np.abs(y).max() < 1e100):
        return None
    shift = weight @ y / len(y) if intercept else 0 * y.mean(axis=0)
    theta, c = naive_fits.ridge(F, (y - shift).reshape(len(y), -1), alpha, intercept, weight)
    want = (F_new @ theta + c).reshape(got.shape) + shift
    tolerance = 1e-7 if eps < 1e-10 else 2e-2
    errors = np.abs((y - shift).reshape(len(y), -1) - F @ theta - c)
    dual = weight[:, None] * errors / alpha  # its sums, which may cancel, are rounded
    rounding = 10 * eps / tolerance * (np.abs(shift).max() + (np.abs(F_new) @ (np.abs(F).T @ dual)).max())
    return differs(got, want, tolerance, np.abs(y - shift).max() + np.abs(want - shift).max() + rounding)
