"""Networks that restore damaged images."""
