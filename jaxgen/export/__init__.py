"""Export of trained networks as bundles, which run without the code that trained them."""
