"""Pairs of rows: their angle, and the norm of each."""

from __future__ import annotations

import math

# Angle between the rows, and their norms: at random, nearly parallel and opposite, parallel, opposite, tiny, large.
PAIRS = [(1.2, 0.9, 1.1), (0.1, 1.0, 0.7), (math.pi - 0.1, 0.8, 1.0), (0.0, 1.3, 0.6), (math.pi, 1.0, 0.9)]
