"""Everything that runs a step: devices, the loop, checkpoints, reports."""
