"""The integrator of gradient flows: its order, its cost on stiff problems, and where it ends."""

import math

import numpy as np
import pytest

from fastlazy.training.chebyshev import Chebyshev

RATES = np.array([1.0, 3.0, 30.0, 1e4])


def relative(tolerance):
    return lambda error, y: float(np.linalg.norm(error)) / tolerance


def follow(force, error, y, end):
    """The integrator at the time *end*, and its steps."""
    flow, steps = Chebyshev(force, error, np.asarray(y, float)), 0
    while flow.time < end:
        assert flow.step(end)
        steps += 1
    return flow, steps


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
def test_stiff_decay_is_accurate_and_cheap(tolerance):
    flow, _ = follow(lambda y: -RATES * y, relative(tolerance), np.ones(4), 1.5)
    assert flow.time == 1.5
    np.testing.assert_allclose(flow.y, np.exp(-1.5 * RATES), rtol=0, atol=30 * tolerance)
    np.testing.assert_array_equal(flow.slope, -RATES * flow.y)
    assert flow.evaluations < 1000 * (1e-3 / tolerance) ** (1 / 5)  # Euler's method needs 7500


def test_error_falls_with_the_square_of_steps():
    """A step of half the length has an eighth of the error."""
    errors = []
    for length in (0.02, 0.01):
        flow = Chebyshev(lambda y: -(y**2), lambda error, y: 0.0, np.ones(1))
        flow._length = length
        assert flow.step(length)
        errors.append(abs(flow.y[0] - 1 / (1 + length)))
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)


def test_force_that_gets_stiffer_is_followed():
    """y' = -t-dependent rate, as a second unknown: the rate grows by 1e4 on the way."""

    def force(y):
        rate = 10 ** (4 * y[1])
        return np.array([-rate * (y[0] - math.cos(y[1])), 1.0])

    flow, _ = follow(force, relative(1e-5), [1.0, 0.0], 1.0)
    assert flow.y[1] == pytest.approx(1.0, abs=1e-12)
    assert flow.y[0] == pytest.approx(math.cos(1.0), abs=2e-4)


def test_where_there_is_no_step_it_says_so():
    """A force that is no number beyond y = 1.5."""
    flow = Chebyshev(lambda y: np.where(y < 1.5, 1.0, np.nan), relative(1e-6), np.ones(1))
    while flow.step(2.0):
        pass
    assert flow.y[0] == pytest.approx(1.5, abs=1e-6)
    assert flow.time == pytest.approx(0.5, abs=1e-6)


def test_state_at_rest_stays():
    flow, steps = follow(lambda y: 0 * y, relative(1e-6), np.ones(3), 5.0)
    np.testing.assert_array_equal(flow.y, np.ones(3))
    assert steps < 20
