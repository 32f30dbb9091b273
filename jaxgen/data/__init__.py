"""Training images: named sources, the endless stream of batches, and their transfer to the device."""
