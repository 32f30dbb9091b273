"""Networks: Flax modules and the layers that they consist of; each file holds one architecture."""
