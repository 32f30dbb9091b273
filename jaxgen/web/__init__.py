"""A web page of trained models, static files that compute in the browser."""
