"""`python -m jaxgen doctor`: what this machine is, how fast it is, and what would be slow."""
