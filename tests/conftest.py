"""What all tests share: guarded arrays, and families of cases of which the default tests take a sample."""

import random
from collections import defaultdict

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
