"""The operator as its users run it: in a pod of a real node, with real pods around it (``make e2e``)."""
