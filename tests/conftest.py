"""What all tests share: guarded arrays."""

pytest_plugins = ["red_zones"]
