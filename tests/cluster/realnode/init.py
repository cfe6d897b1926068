"""Process 1 of the node's namespaces. When it ends, the kernel ends everything in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cluster import binaries
from cluster.realnode import cgroups, isolation, layout
from cluster.realnode.plane import ClusterWithNode


def main(directory: Path, group: str) -> None:
    """Starts all, prints the control plane's folder as the only line on stdout, and stays until it is killed."""
    cgroups.enter(group)
    isolation.set_up(directory)
    os.environ["TMPDIR"] = str(directory)
    with ClusterWithNode() as cluster:
        agent = str(binaries.programs("agent")["agent"])
        outside = ["ip", "netns", "exec", layout.OUTSIDE]
        subprocess.Popen([*outside, agent, "serve", layout.OUTSIDE, str(layout.OUTSIDE_PORT)])
        print(cluster.directory, flush=True)
        cluster.watch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
