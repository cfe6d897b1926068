"""The test bed: real parts of Kubernetes on loopback."""
