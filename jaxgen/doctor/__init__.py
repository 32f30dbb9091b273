"""`python -m jaxgen doctor`, which describes this machine, measures its speed and reports what would be slow."""
