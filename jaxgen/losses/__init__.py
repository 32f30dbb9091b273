"""Losses and penalties that return one value per example."""
