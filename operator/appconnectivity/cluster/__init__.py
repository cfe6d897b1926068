"""Everything that talks to the API server, and nothing that decides. The only package that imports ``kubernetes``."""
