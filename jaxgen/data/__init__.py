"""Where images come from: named sources, the endless stream of batches, the way to the device."""
