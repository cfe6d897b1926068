"""The settings files of the node's programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from cluster.realnode import layout


def write_all(directory: Path, *, client_ca: Path) -> None:
    """kubelet.yaml, containerd.toml, kube-proxy.yaml and the CNI network in ``directory``/cni."""
    empty = directory / "resolv.conf"
    empty.touch()
    (directory / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(client_ca=client_ca, resolver=empty)))
    (directory / "kube-proxy.yaml").write_text(yaml.safe_dump(_proxy(directory)))
    (directory / "containerd.toml").write_text(_containerd(directory))
    (directory / "cni").mkdir()
    (directory / "cni" / "10-pods.conflist").write_text(json.dumps(_pod_network()))


def _kubelet(*, client_ca: Path, resolver: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(client_ca)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        # Version 1 is on its way out, but it is what many machines without systemd have.
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{layout.CONTAINERD_SOCKET}",
        "clusterDNS": [layout.DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolver),
        # The disk belongs to others too: how full it is must not end our pods.
        "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
    }


def _proxy(directory: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": layout.POD_NETWORK,
        "hostnameOverride": layout.NODE,
        "clientConnection": {"kubeconfig": str(directory / "kube-proxy.kubeconfig")},
        # The table of connections is sized for the whole machine: not ours to change.
        "conntrack": {"maxPerCore": 0},
    }


def _pod_network() -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": layout.NODE_POD_NETWORK}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni-addresses",
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}],
    }


def _containerd(directory: Path) -> str:
    return f"""
version = 3
root = "{directory}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.erofs",
]

[grpc]
address = "{layout.CONTAINERD_SOCKET}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "docker.io/local/pause:1"

[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
# Not every container that this runs in may lower it.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{layout.PLUGINS}"]
conf_dir = "{directory}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "runc"
SystemdCgroup = false
"""
