"""Limits of time in threads, which raise; what ends our own workers is in `test_engines`."""

import time

import pytest

from fastlazy.sweeps.black_box import CellTimeoutError, last_words, time_limit


def spin():
    while True:
        time.sleep(0.001)


def test_what_takes_too_long_is_raised_in_its_thread():
    with pytest.raises(CellTimeoutError), time_limit(0.05):
        spin()


def test_what_is_in_time_is_left_alone():
    with time_limit(0.05):
        pass
    for _ in range(100):
        time.sleep(0.001)
    with time_limit(None):
        pass


def test_a_worker_that_left_nothing(tmp_path):
    words = last_words(str(tmp_path), 12345)
    assert (words.call, words.timed_out, words.trace) == (0, False, None)
