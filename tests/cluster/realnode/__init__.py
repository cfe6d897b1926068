"""A real node: kubelet, containerd, kube-proxy, an enforcer and a DNS, in namespaces of their own."""
