"""Training: the step, devices, compiled calls, the loop, and populations."""
