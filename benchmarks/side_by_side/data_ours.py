"""`NTRegressor`, fitted and asked as the other libraries are."""

from __future__ import annotations

from unittest import mock

import numpy as np

from benchmarks.side_by_side.data_problem import Problem


class FastlazyData:
    """`NTRegressor`; one thread is parallel=False."""

    def __init__(self, problem: Problem, variant: str, threads: int) -> None:
        self.problem, self.threads = problem, threads
        self.inputs = problem.inputs()

    def call(self) -> np.ndarray:
        """The predictions of a model fitted anew."""
        from fastlazy._support import threads
        from fastlazy.estimators import NTRegressor

        X, y, new, W = self.inputs
        with mock.patch.object(threads, "thread_limit", return_value=self.threads):
            model = NTRegressor(
                weights=W, activation=self.problem.activation, alpha=self.problem.alpha, fit_intercept=False,
                parallel=self.threads > 1,
            )  # fmt: skip
            return model.fit(X, y).predict(new)
