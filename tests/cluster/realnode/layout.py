"""Names and addresses of the node and of what is around it."""

from __future__ import annotations

NODE = "node1"
NODE_ADDRESS = "172.31.0.2"
# A network namespace beside the node, its only way out: the world for tests. Nothing leaves it.
OUTSIDE = "outside"
GATEWAY = "172.31.0.1"
OUTSIDE_ADDRESS = "203.0.113.10"
OUTSIDE_PORT = 8080
API_PORT = 6443
POD_NETWORK = "10.244.0.0/16"
NODE_POD_NETWORK = "10.244.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"
DNS_ADDRESS = "10.96.0.10"
PLUGINS = "/usr/lib/cni"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
