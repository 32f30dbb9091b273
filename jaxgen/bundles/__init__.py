"""Bundles, which hold exported models and are used without training code, Flax or TensorFlow."""
