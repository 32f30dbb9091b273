"""Recipes, one a file: `python -m experiments.NAME`."""
