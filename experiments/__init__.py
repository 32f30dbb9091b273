"""Recipes, one in each file: `python -m experiments.NAME`."""
