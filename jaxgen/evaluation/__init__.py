"""Evaluation of generated images: feature networks, the checkpoint score and the full protocol."""
