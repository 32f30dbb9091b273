"""Differential privacy of a training: clipped sums of gradients, secret noise, Poisson batches and accounting."""
