"""The script that kills sweeps, for a few kills."""

import os

import pytest
from kill_sweeps import kill_sweeps


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_sweeps_that_are_killed_lose_nothing(tmp_path):
    assert kill_sweeps(6, tmp_path, seed=None) >= 1
