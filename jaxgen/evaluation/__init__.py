"""From images to figures: feature networks, named protocols, and what they say about a set of images."""
