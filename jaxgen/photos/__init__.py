"""Photograph files in and out."""
