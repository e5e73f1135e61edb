"""Teams of threads: every item once, everybody home, also when something goes wrong."""

import threading

import numpy as np
import pytest

from fastlazy._core.jit import jit
from fastlazy._core.team import board_size, meet, stop, take
from fastlazy._support.threads import available_cores, team


@jit
def count(member, members, board, phases, items, counts, order):
    """Add one to counts[phase, item] for each item; note in order[phase] that all of the last phase was seen."""
    for phase in range(phases):
        item = take(board, items, member, members)
        while item < items:
            counts[phase, item] += 1
            item = take(board, items, member, members)
        if not meet(board, members):
            return
        if counts[phase].sum() == items:
            order[phase, member] = 1
        if not meet(board, members):
            return


@pytest.mark.parametrize("members", [1, 2, 3, 7])
def test_every_item_is_taken_once_and_phases_do_not_mix(members):
    counts, order = np.zeros((50, 97), np.int64), np.zeros((50, members), np.int64)
    with team(members) as together:
        together(count, 30, 97, counts[:30], order[:30])
        together(count, 20, 97, counts[30:], order[30:])
    assert (counts == 1).all()
    assert (order == 1).all()


def test_stopped_team_goes_home():
    counts, order = np.zeros((1000, 5), np.int64), np.zeros((1000, 2), np.int64)
    board = np.zeros(board_size(2), np.int64)
    alone = threading.Thread(target=count, args=(0, 2, board, 1000, 5, counts, order))  # waits for a second member
    alone.start()
    alone.join(0.2)
    assert alone.is_alive()
    stop(board)
    alone.join(10)
    assert not alone.is_alive()


def test_an_exception_in_a_member_reaches_the_caller():
    def broken(member, members, board):
        if member == 1:
            raise ZeroDivisionError("as planned")

    with team(2) as together, pytest.raises(ZeroDivisionError, match="as planned"):
        together(broken)


def test_available_cores():
    assert available_cores() >= 1
