"""Writing what was trained as a bundle that runs without the code that trained it."""
