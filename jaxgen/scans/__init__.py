"""Scans: many trainings over hyperparameters and seeds in one compiled program."""
