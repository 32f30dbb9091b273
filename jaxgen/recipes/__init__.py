"""From a configuration to a trained run: what the files in experiments/ call."""
