"""Networks: Flax modules and the layers that they are made of, one architecture a file."""
