"""A run's folder: its record, checkpoints, metrics, report, and the list of them."""
