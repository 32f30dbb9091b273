"""Losses and penalties, one value per example."""
