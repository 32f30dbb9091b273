"""Algorithms as records of pure functions."""
