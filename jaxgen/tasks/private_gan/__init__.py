"""The training of GANs with a guarantee for each training image: differential privacy."""
