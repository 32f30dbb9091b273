"""Measurements of speed: `python -m experiments.benchmarks.NAME`."""
