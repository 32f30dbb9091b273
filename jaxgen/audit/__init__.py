"""The audit of a trained model: what it gives away of the images that it was trained on."""
