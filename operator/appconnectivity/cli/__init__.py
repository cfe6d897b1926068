"""The command line: the same engine as the operator, with and without a cluster."""
