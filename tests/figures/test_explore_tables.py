"""What the page of ``fastlazy explore`` holds, beside the public functions and a slow twin."""

import base64

import naive_lazy
import numpy as np
import pytest

import fastlazy
from fastlazy.figures import explore_tables
from fastlazy.figures.explore_tables import SCALES, UNIT, explore_data, lazy_optimum, spectra_of

D, SEED = 12, 3
SIGMAS = {"square": "x²", "relu": "ReLU", "tanh": "tanh", "step": "step"}


@pytest.fixture(scope="module")
def data():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explore_tables, "SIGMAS", SIGMAS)
        return explore_data(D, SEED)


TARGETS = {name: target for name, (*_, target) in spectra_of(D, SEED).items()}


def test_targets_are_those_of_the_public_functions(data):
    exponential = fastlazy.exponential_target(D, rng=SEED)
    assert data["spectra"][0]["eigenvalues"] == exponential.eigenvalues.tolist()
    assert [row["name"] for row in data["spectra"]] == ["exponential", "root", "power", "spiked", "flat"]
    np.testing.assert_allclose(data["spectra"][2]["eigenvalues"], 1 / np.arange(1, D + 1))
    assert all(min(row["eigenvalues"]) > 0 for row in data["spectra"])


def test_widths_go_to_ten_times_d(data):
    widths = data["widths"]
    assert widths == sorted(set(widths))
    assert (widths[0], widths[-1]) == (1, 10 * D)
    assert D in widths


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_two_numbers_give_risks_and_shares_of_every_spectrum(data, sigma, target):
    row = next(row for row in data["sigmas"] if row["name"] == sigma)
    values = target.eigenvalues
    m = values.sum() ** 2 / (D * np.sum(values**2))
    options = {"RF": {}, "NT": {"refined": True}}
    for regime in ("RF", "NT") if sigma != "step" else ("RF",):
        risk, shares = (getattr(fastlazy, f"{regime.lower()}_{name}_limit") for name in ("risk", "captured"))
        for N, (rest, trace) in [*zip(data["widths"], row[regime], strict=True)][::7]:
            expected = risk(target, N, sigma, refined=True) / target.null_risk
            assert (1 - m) * rest + m * trace == pytest.approx(expected, abs=2e-8)
            found = 1 - rest + (rest - trace) * values.sum() / (D * values)
            np.testing.assert_allclose(found, shares(target, N, sigma, **options[regime]), atol=1e-6)


def test_what_is_not_known_is_not_there(data):
    square, relu, tanh, step = data["sigmas"]
    assert square["NN"] is True
    assert step["NT"] is None
    assert step["notes"]["NT"] == "σ jumps: there is no tangent model"
    assert [row["NN"] for row in (relu, tanh, step)] == [False] * 3
    assert all(row["notes"]["NN"] == "no infimum is known for this σ" for row in (relu, tanh, step))
    assert tanh["notes"]["RF"] == tanh["notes"]["NT"] == "σ has no part of degree two: nothing of B is learned"
    assert "Theorem 3" in square["notes"]["NN"]
    assert "exact" in square["notes"]["NT"]
    assert "not proved" in relu["notes"]["NT"]


def test_lazy_scaling_at_every_position(data):
    W = fastlazy.draw_weights(D, D, rng=SEED)
    narrow = [N for N in data["widths"] if D > N]
    packed = np.frombuffer(base64.b64decode(data["lazy_shares"]), "<i2")
    shares = UNIT * packed.reshape(len(TARGETS), len(narrow), len(SCALES), D)
    for row, of_target, target in zip(data["spectra"], shares, TARGETS.values(), strict=True):
        assert len(row["lazy_risk"]) == len(narrow)
        for k, N in [*enumerate(narrow)][::3]:
            for j, scale in [*enumerate(SCALES)][::4]:
                risk = fastlazy.lazy_risk(target, W[:N], scale=scale) / target.null_risk
                assert row["lazy_risk"][k][j] == pytest.approx(risk, abs=1e-7)
                expected = np.diag(naive_lazy.learned_under_scale(W[:N], scale, target.B)) / np.diag(target.B)
                order = np.argsort(-np.diag(target.B), kind="stable")
                np.testing.assert_allclose(of_target[k, j], np.clip(expected[order], -3.2768, 3.2767), atol=0.51 * UNIT)


def test_lazy_scaling_goes_from_nn_to_nt():
    target, W = TARGETS["exponential"], fastlazy.draw_weights(D, D, rng=SEED)[:4]
    risks, shares = lazy_optimum(target, W, [1e-7, 1e5])
    assert risks * target.null_risk == pytest.approx(
        [fastlazy.nn_risk(target, 4), fastlazy.nt_risk(target, W)], rel=1e-4
    )
    np.testing.assert_allclose(shares[0], np.arange(D) < 4, atol=1e-4)
    tangent = fastlazy.captured_share(target, fastlazy.nt_function(target, W))
    np.testing.assert_allclose(shares[1], tangent, rtol=1e-3, atol=1e-3)


def test_two_dimensions(monkeypatch):
    monkeypatch.setattr(explore_tables, "SIGMAS", {"square": "x²"})
    data = explore_data(2, 0)
    assert data["widths"][:2] == [1, 2]
    assert [len(row["lazy_risk"]) for row in data["spectra"]] == [1] * 5
