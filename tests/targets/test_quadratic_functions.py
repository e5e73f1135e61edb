"""What is learned is a function that can be a target: a teacher network is learned as the target of its form is."""

import copy
import dataclasses
import pickle
from functools import cache, partial

import numpy as np
import pytest

import fastlazy as fl
from fastlazy import QuadraticFunction, QuadraticTarget

RNG = np.random.default_rng(0)
W, A = RNG.standard_normal((3, 5)), np.array([1.0, 0.5, 2.0])
TEACHER = fl.network_function(W, A, 0.25)
TARGET = QuadraticTarget(TEACHER.B, TEACHER.b0)
V = fl.draw_weights(4, 5, rng=1)


@cache  # made when first asked for: two processes that collect this file would compile the same kernels
def fit(scale=None):
    return fl.fit_nn(TARGET, 2, n_samples=200, rng=0, scale=scale)


LEARNED = {
    "network": lambda: TEACHER,
    "rf": lambda: fl.rf_function(TARGET, V),
    "nt": lambda: fl.nt_function(TARGET, V),
    "fit": lambda: fit().function,
    "lazy fit": lambda: fit(2.0).function,
    "start": lambda: fl.linearize(V).start,
    "linear in a": lambda: fl.linearize(V).rf(2.0),
    "linear in W": lambda: fl.linearize(V).nt(2 * V),
    "both": lambda: fl.linearize(V).both(2 * V),
}
TAKE_A_TARGET = {
    "rf_risk": partial(fl.rf_risk, W=V),
    "rf_risk of relu": partial(fl.rf_risk, W=V, activation="relu"),
    "nt_risk": partial(fl.nt_risk, W=V),
    "nt_risk of relu": partial(fl.nt_risk, W=V, activation="relu"),
    "nn_risk": partial(fl.nn_risk, N=2),
    "network_risk": partial(fl.network_risk, W=V),
    "tangent_risk": partial(fl.tangent_risk, W=V, b=V),
    "rf_risk_limit": partial(fl.rf_risk_limit, N=4),
    "nt_risk_limit": partial(fl.nt_risk_limit, N=4, activation="relu"),
    "nn_risk_limit": partial(fl.nn_risk_limit, N=2),
    "lazy_risk": partial(fl.lazy_risk, W=V, scale=2.0),
    "rf_captured_limit": partial(fl.rf_captured_limit, N=4),
    "nt_captured_limit": partial(fl.nt_captured_limit, N=4),
    "captured_share": lambda target: fl.captured_share(target, f=fit().function),
    "population_distance": lambda target: fl.population_distance(target, g=fit().function),
    "rf_function": lambda target: fl.rf_function(target, V).B,
    "nt_function": lambda target: fl.nt_function(target, V).B,
    "fit_nn": lambda target: fl.fit_nn(target, 2, n_samples=200, rng=0).risk,
}


@pytest.mark.parametrize("learned", LEARNED.values(), ids=LEARNED)
def test_what_is_learned_is_a_function_and_no_target(learned):
    f = learned()
    assert type(f) is QuadraticFunction
    assert not hasattr(f, "sample")
    assert f.d == 5


@pytest.mark.parametrize("take", TAKE_A_TARGET.values(), ids=TAKE_A_TARGET)
def test_a_teacher_is_learned_as_its_target_is(take):
    np.testing.assert_array_equal(take(TEACHER), take(TARGET))


def test_a_target_is_a_function():
    X, y = TARGET.sample(6, rng=0)
    np.testing.assert_array_equal(TEACHER(X), y)
    assert (TEACHER.mean, TEACHER.null_risk) == (TARGET.mean, TARGET.null_risk)
    np.testing.assert_array_equal(TEACHER.eigenvalues, TARGET.eigenvalues)
    assert isinstance(TARGET, QuadraticFunction)


@pytest.mark.parametrize("kind", [QuadraticFunction, QuadraticTarget])
def test_copies_are_of_the_same_kind_and_frozen(kind):
    f = kind([3.0, 1.0], b0=-4.0)
    assert repr(f) == f"{kind.__name__}(d=2, trace=4, b0=-4)"
    for again in (pickle.loads(pickle.dumps(f)), copy.copy(f), copy.deepcopy(f)):
        assert type(again) is kind
        np.testing.assert_array_equal(again.B, f.B)
    for name in ("B", "b0", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(f, name, 1.0)
