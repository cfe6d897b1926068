"""Objects that nobody would write, put straight into the API server."""
