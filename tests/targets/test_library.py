"""Families of targets: their eigenvalues, that they are centred, and the table of them."""

import inspect

import numpy as np
import pytest

import fastlazy
from fastlazy.targets.library import (
    FAMILIES,
    exponential_target,
    identity_target,
    power_law_target,
    rank_one_target,
    spiked_target,
)

X = np.random.default_rng(0).standard_normal((5, 4))


def test_the_functions_are_what_their_formulas_say():
    np.testing.assert_allclose(identity_target(4)(X), (X**2).sum(axis=1) - 4, rtol=1e-12)
    np.testing.assert_allclose(rank_one_target(4)(X), X[:, 0] ** 2 - 1, rtol=1e-12)
    weighted = X[:, 0] ** 2 + X[:, 1] ** 2 / 4 + X[:, 2] ** 2 / 9 + X[:, 3] ** 2 / 16
    mean = 1 + 1 / 4 + 1 / 9 + 1 / 16
    np.testing.assert_allclose(power_law_target(4, exponent=2)(X), weighted - mean, rtol=1e-12)


def test_null_risks_of_known_sums():
    assert identity_target(30).null_risk == 60
    assert rank_one_target(30).null_risk == 2
    assert power_law_target(10**3).null_risk == pytest.approx(np.pi**2 / 3, abs=2e-3)
    assert power_law_target(30, exponent=0).null_risk == 60
    assert spiked_target(30).null_risk == 2 * (100 + 29)
    assert spiked_target(30, n_spikes=3, spike=-2.0).null_risk == 2 * (3 * 4 + 27)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_centred_and_has_a_public_function(name):
    family = FAMILIES[name]
    for d in (1, 7):
        target = family.make(d, **family.parameters)
        assert target.d == d
        assert target.mean == pytest.approx(0, abs=1e-12)
    assert {f"{name}_target", f"exponential_{name}"} & {*fastlazy.__all__}
    assert [*inspect.signature(family.make).parameters][1:] == [*family.parameters]


def test_an_exponential_target_has_its_seed():
    np.testing.assert_array_equal(FAMILIES["exponential"].make(6, target_seed=3).B, exponential_target(6, rng=3).B)


@pytest.mark.parametrize(
    "make", [exponential_target, identity_target, power_law_target, rank_one_target, spiked_target]
)
def test_a_dimension_that_is_none(make):
    for d, error in ((0, ValueError), (2.5, TypeError), ("3", TypeError)):
        with pytest.raises(error, match="d must be"):
            make(d)


def test_an_exponent_that_makes_no_target():
    with pytest.raises(ValueError, match="exponent must be a finite number"):
        power_law_target(3, exponent=np.nan)
    for exponent in (-400, -1e300):
        with pytest.raises(
            ValueError, match=r"exponent = .* makes an eigenvalue 3\^.*, whose square .*; pass a larger one"
        ):
            power_law_target(3, exponent=exponent)
    assert power_law_target(3, exponent=1e300).null_risk == 2


def test_spikes():
    np.testing.assert_array_equal(np.diag(spiked_target(4, n_spikes=2, spike=-3.0).B), [-3, -3, 1, 1])
    assert spiked_target(4, n_spikes=0).null_risk == identity_target(4).null_risk
    assert spiked_target(4, n_spikes=4, spike=2.0).null_risk == 32
    with pytest.raises(ValueError, match="n_spikes = 5 is more than d = 4; pass a smaller one"):
        spiked_target(4, n_spikes=5)
    with pytest.raises(ValueError, match="n_spikes = 4 makes all eigenvalues spike = 0, so that there is nothing"):
        spiked_target(4, n_spikes=4, spike=0.0)
    with pytest.raises(ValueError, match=r"spike = 1e\+200 has a square that is beyond floating point"):
        spiked_target(4, spike=1e200)
    for options, error in (
        ({"n_spikes": -1}, ValueError),
        ({"n_spikes": 1.5}, TypeError),
        ({"spike": None}, TypeError),
    ):
        with pytest.raises(error, match=f"{next(iter(options))} must be"):
            spiked_target(4, **options)
