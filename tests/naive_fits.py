"""Slow twins of fits to data: every feature stored, every sample left out in turn. Imports nothing of ours."""

from __future__ import annotations

import numpy as np


def jacobian(slope, W, X):
    """Derivatives of sum_i sigma(<w_i, x>) by the entries of W, (n, N d), entry by entry; slope is sigma'."""
    rows = []
    for x in X:
        row = []
        for w in W:
            s = float(slope(np.array([w @ x]))[0])
            row += [s * x_j for x_j in x]
        rows.append(row)
    return np.array(rows)


def ridge(F, y, alpha, intercept, weight=None):
    """theta (P, t) and c (t,) of least sum of weight |y - F theta - c|^2 + alpha |theta|^2; weights are 1 by default.

    A last column of ones, not penalised, stands for c.
    """
    n, P = F.shape
    G = np.column_stack([F, np.ones(n)]) if intercept else F
    weighted = G if weight is None else weight[:, None] * G
    penalty = alpha * np.eye(G.shape[1])
    if intercept:
        penalty[P, P] = 0
    solution = np.linalg.solve(weighted.T @ G + penalty, weighted.T @ y)
    return solution[:P], solution[P] if intercept else np.zeros(y.shape[1])


def leave_one_out(F, y, alpha, intercept, weight=None):
    """Errors (n, t) of each sample by the fit to all others."""
    errors = np.empty(y.shape)
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        theta, c = ridge(F[others], y[others], alpha, intercept, None if weight is None else weight[others])
        errors[i] = y[i] - F[i] @ theta - c
    return errors
