"""Gram matrices between features, kernels between samples, features themselves: allocated here, filled by `_core`."""
