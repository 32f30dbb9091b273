"""The tasks: kinds of training, each in its own folder, and the table that names them."""
