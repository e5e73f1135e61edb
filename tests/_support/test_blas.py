"""The same bits for any number of BLAS threads, wherever docs/conventions.md says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import numpy as np
import fastlazy as fl

for d, N in ((24, 16), (100, 70), (40, 200), (100, 400)):
    A = np.random.default_rng(d).standard_normal((d, d))
    cov = np.sum(A[:, None] * A[None], axis=-1)
    target, W = fl.QuadraticTarget(A + A.T, 0.3), fl.draw_weights(N, d, rng=1)
    found = {
        "rf": fl.rf_risk(target, W), "rf ridge": fl.rf_risk(target, W, ridge=0.1),
        "nt": fl.nt_risk(target, W), "nt ridge": fl.nt_risk(target, W, ridge=0.1),
        "rf relu": fl.rf_risk(target, W, "relu"), "nt relu": fl.nt_risk(target, W, "relu"),
        "lazy": fl.lazy_risk(target, W, scale=2.0), "nn": fl.nn_risk(target, 3),
        "network": fl.network_risk(target, W, 0.3, 0.1), "network relu": fl.network_risk(target, W, 0.3, 0.1, "relu"),
        "tangent": fl.tangent_risk(target, W, W), "tangent relu": fl.tangent_risk(target, W, W, 0.1, "relu"),
        "rf limit": fl.rf_risk_limit(target, N, cov=cov, refined=True),
        "nt limit": fl.nt_risk_limit(target, 20, cov=cov),
        "samples": target.sample(500, rng=1)[1].sum(), "weights": fl.draw_weights(N, d, cov=cov, rng=0).sum(),
        "function": fl.network_function(W).B.sum(), "rf function": fl.rf_function(target, W).B.sum(),
        "nt function": fl.captured_share(target, fl.nt_function(target, W)).sum(),
        "linearisation": fl.linearize(W).both(W + 1).B.sum(),
        "fit": fl.fit_nn(target, 9, n_samples=3000, rng=0).risk[-1],
    }
    tilted = fl.QuadraticTarget(A + A.T, 0.3, input_cov=cov)
    mixture = fl.GaussianMixture(cov, cov @ np.diag(np.linspace(0, 0.5, d)) @ cov / np.abs(cov).sum())
    for name, learned in (("tilted", tilted), ("mixture", mixture)):
        found |= {
            f"{name} rf": fl.rf_risk(learned, W), f"{name} rf relu": fl.rf_risk(learned, W, "relu"),
            f"{name} nt": fl.nt_risk(learned, W), f"{name} nt ridge": fl.nt_risk(learned, W, ridge=0.1),
            f"{name} nt relu": fl.nt_risk(learned, W, "relu"), f"{name} nn": fl.nn_risk(learned, 3),
            f"{name} network": fl.network_risk(learned, W, 0.3, 0.1),
            f"{name} network relu": fl.network_risk(learned, W, 0.3, 0.1, "relu"),
            f"{name} tangent": fl.tangent_risk(learned, W, W),
            f"{name} tangent relu": fl.tangent_risk(learned, W, W, 0.1, "relu"),
            f"{name} rf limit": fl.rf_risk_limit(learned, N, cov=cov),
            f"{name} nt limit": fl.nt_risk_limit(learned, 20), f"{name} samples": learned.sample(500, rng=1)[0].sum(),
        }
    for name, value in found.items():
        print(d, N, name, float(value).hex())
"""


def printed(threads):
    variables = dict.fromkeys(["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"], str(threads))
    root = str(Path(__file__).parents[2])
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **variables}, cwd=root, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return run.stdout.splitlines()


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="BLAS has one thread here")
def test_results_have_the_same_bits_for_any_number_of_blas_threads():
    assert printed(1) == printed(2)
