"""One prepared run on an accelerator, of a few minutes; see `__main__`."""
