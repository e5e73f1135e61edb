"""The version, in the one place from which the package, its build and its tables of results take it."""

__version__ = "0.1.0"
