"""Reading and writing of photo files."""
