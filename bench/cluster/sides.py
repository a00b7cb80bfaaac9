"""One cluster with both opponents: two nodes with Weir, two with the bridge plugin and kube-proxy, one
API server. What one side does is measured while the other side's nodes are frozen."""

import contextlib
import os

import lib_cluster
from lib_cluster import UNIFIED, Path, retried

SIDES = {"weir": ("n0", "n1"), "bridge": ("n2", "n3")}
TITLES = {"weir": "Weir", "bridge": "bridge plugin, kube-proxy nftables"}


def in_turn(number, first):
    """The sides in the order of that pass."""
    return sorted(SIDES, key=lambda side: (side == first) == (number % 2 == 1))


class Sides(lib_cluster.Cluster):
    def __init__(self, families):
        super().__init__(NETWORK="both", NODES=4, MAX_PODS=300, LOG="debug", FAMILIES=families)
        self.families = families
        go_ahead()
        self.rolled_out("daemonset/weir-agent", "-n", "weir-system")

    @contextlib.contextmanager
    def alone(self, side):
        """The other side has no CPU time meanwhile. A minute of it is nothing to a cluster."""
        others = [node for name, nodes in SIDES.items() if name != side for node in nodes]
        retried(lambda: all(self.is_ready(node) for node in SIDES[side]), f"nodes of {side}", 60)
        freeze(others, True)
        try:
            yield SIDES[side]
        finally:
            freeze(others, False)

    def is_ready(self, node):
        return any(one["type"] == "Ready" and one["status"] == "True"
                   for one in self.get("node", node)["status"]["conditions"])

    def down(self):
        freeze([node for nodes in SIDES.values() for node in nodes], False)
        super().down()


def freeze(nodes, frozen):
    for node in nodes:
        cgroup = UNIFIED / "weir" / node
        if cgroup.exists():
            (cgroup / "cgroup.freeze").write_text(str(int(frozen)))


def go_ahead():
    """The cluster and this process have CPU time before whatever else the machine does."""
    Path("/sys/fs/cgroup/cpu/weir/cpu.shares").write_text("20480")  # of one ordinary process: 1024
    os.setpriority(os.PRIO_PROCESS, 0, -20)


def cpu_seconds(nodes):
    """What all processes of these nodes have used so far."""
    base = Path("/sys/fs/cgroup/cpuacct/weir")
    return sum(int((base / node / "cpuacct.usage").read_text()) for node in nodes) / 1e9
