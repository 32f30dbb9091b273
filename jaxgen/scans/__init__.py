"""Scans: many trainings over numbers and seeds in one program."""
