"""Measures of how good generated and restored images are."""
