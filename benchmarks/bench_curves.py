"""Learning curves without samples: one eigendecomposition for RF, products with the Gram matrix for NT."""

from __future__ import annotations

import numpy as np

import fastlazy

# The sizes stand here, where the tests replace them by small ones.
D = 450
N = 1350
LARGE = 900  # neurons of the tangent model known by products: N d = 405,000
SIZES = 200


class LearningCurve:
    """RF of ReLU at 200 numbers of samples, without a ridge and with the best one; NT of x^2 in closed form."""

    def setup(self) -> None:
        self.target = fastlazy.exponential_target(D, rng=0)
        self.W = fastlazy.draw_weights(N, D, rng=1)
        self.n = np.geomspace(10, 1e5, SIZES)

    def time_rf(self) -> None:
        fastlazy.rf_learning_curve(self.target, self.W, self.n, "relu")

    def time_rf_best(self) -> None:
        fastlazy.rf_learning_curve(self.target, self.W, self.n, "relu", ridge="best")

    def time_nt_square(self) -> None:
        fastlazy.nt_learning_curve(self.target, self.W, self.n)


class LargeTangentCurve:
    """NT of ReLU where K is known by products alone."""

    timeout = 600

    def setup(self) -> None:
        self.target = fastlazy.exponential_target(D, rng=0)
        self.W = fastlazy.draw_weights(LARGE, D, rng=1)
        self.n = np.geomspace(100, 1e5, 20)

    def time_nt(self) -> None:
        fastlazy.nt_learning_curve(self.target, self.W, self.n, "relu", ridge=0.01)


class FiniteLimit:
    """The mean over weights at one n and ridge, each time anew."""

    def setup(self) -> None:
        self.target = fastlazy.exponential_target(D, rng=0)

    def time_rf(self) -> None:
        fastlazy.rf_risk_limit(self.target, N, "relu", n_samples=2000, ridge=0.01)

    def time_nt(self) -> None:
        fastlazy.nt_risk_limit(self.target, N, "relu", n_samples=2000, ridge=0.01)
