"""The kinds of training, a folder each, and the table that names them."""
