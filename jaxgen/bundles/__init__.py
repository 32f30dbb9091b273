"""Reading an exported model: what a bundle holds and how it is used, without training code, Flax or TensorFlow."""
