"""Exact population risks of given weights, and their analytic predictions."""
