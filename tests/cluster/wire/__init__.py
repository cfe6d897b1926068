"""The wire lab: pods that are network namespaces, a real enforcer between them, and packets that tell what is open."""
