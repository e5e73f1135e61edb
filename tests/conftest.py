"""What all tests share: guarded arrays, kernels that are compiled once, and samples of large families of cases."""

import random
from collections import defaultdict

import numpy as np
import pytest

pytest_plugins = ["red_zones"]


@pytest.hookimpl(tryfirst=True)  # before the cases that are marked slow are set aside
def pytest_collection_modifyitems(items):
    """`sampled(n)`: n of the test's cases, drawn by its name, are among the default tests, the others are slow."""
    families = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled"):
            families[item.nodeid.partition("[")[0]].append(item)
    for name, cases in families.items():
        (n,) = cases[0].get_closest_marker("sampled").args
        default = random.Random(name).sample(range(len(cases)), min(n, len(cases)))
        for k, case in enumerate(cases):
            if k not in default:
                case.add_marker(pytest.mark.slow)


MANY = 1000  # tests, which need most kernels


def pytest_collection_finish(session):
    """Two processes that will need the same kernels compile one half of them each, and find the other in the cache."""
    worker = getattr(session.config, "workerinput", {"workercount": 1})
    if len(session.items) > MANY and worker["workercount"] > 1 and worker["workerid"] in ("gw0", "gw1"):
        from tests._core import edges

        for computation in edges.COMPUTATIONS.values():
            list(computation(11, 13, 7, 5, np.float32 if worker["workerid"] == "gw0" else np.float64))
