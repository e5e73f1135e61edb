"""The lengths of Gaussian rows: |w|^2 d is chi^2 of d degrees of freedom for w ~ N(0, I / d), as a few classes.

The classes are the nodes and weights of a Gauss quadrature. The chi^2 law's density x^(d/2 - 1) e^(-x/2) is that of the
generalised Laguerre polynomials, whose recurrence is a tridiagonal matrix with these nodes for eigenvalues (Golub and
Welsch), so means of polynomials in |w|^2 are exact up to degree 17, at any d.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh_tridiagonal

from fastlazy._support.arguments import Array

_CLASSES = 9


def row_lengths(length: float, d: int) -> tuple[Array, Array]:
    """Lengths r (m,) of rows N(0, length^2 I / d), and the share of the rows (m,) that each stands for."""
    k, order = np.arange(_CLASSES), d / 2 - 1
    nodes, vectors = eigh_tridiagonal(2 * k + 1 + order, np.sqrt(k[1:] * (k[1:] + order)))
    return length * np.sqrt(nodes * (2 / d)), vectors[0] ** 2
