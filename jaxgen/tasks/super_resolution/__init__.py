"""Training and use of networks that enlarge images."""
