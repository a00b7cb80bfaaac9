#!/usr/bin/env -S python3 -B
"""A pod with hostPorts is deleted and made again: the new one has its ports within a second of its
being ready, for clients outside and on the node, and for datagram sockets that spoke to the old one.
This bound is a semantic that is asked for, not a matter of speed."""

import contextlib
import json
import sys
import time
from pathlib import Path

import lib_cells
import lib_lab
import lib_local
import lib_net
import lib_services
from lib_lab import claim, equal
from lib_net import wait_for
from lib_services import FAMILY, socket, who

CLAIMS = 16
WITHIN_S = 1.0
HERE = Path(__file__).resolve().parent
# Of the NodePort range, too: it wins there.
PORT, BOUND_PORT, PAUSE = 30090, 8082, 0.1
POD = """---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: lab}}
spec:
  nodeName: n0
  hostNetwork: {host}
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    command: {command}
    ports: {ports}
    readinessProbe: {{tcpSocket: {{port: {probe}}}, periodSeconds: 1}}
"""


def pod(name, says, port, host=False, ports=()):
    return POD.format(name=name, host=str(host).lower(), probe=port, ports=json.dumps(list(ports)),
                      command=json.dumps([sys.executable, "-B", str(HERE / "lib_pod.py"), "serve",
                                          says, str(port)]))


class Client(lib_local.Place):
    """Sockets of a namespace, and of a cgroup where one is given."""

    def __init__(self, path, cgroup=None):
        super().__init__(path)
        self.cgroup = cgroup

    @contextlib.contextmanager
    def inside(self):
        with self.cgroup.inside() if self.cgroup else contextlib.nullcontext(), super().inside():
            yield


class PodCgroup(lib_net.Cgroup):
    """The cgroup of a process that is there."""

    def __init__(self, pid):
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        self.root = Path(next(words[1] for words in mounts if words[2] == "cgroup2"))
        group = Path(f"/proc/{pid}/cgroup").read_text().split("0::/")[1].split("\n")[0]
        self.path = self.root / group


class Bench:
    def __init__(self, hooks):
        self.bed = bed = lib_cells.Cluster("vxlan", hooks, lib_cells.NAMESPACE, "--dns", "none")
        self.node = bed.nodes["n0"]
        bed.apply(pod("host", "host", 7000, True) + self.door("old"), "--wait", 60)
        record = json.loads((bed.folder / "pods/lab/host/record.json").read_text())
        self.text = lib_services.HOOKS[hooks]
        outside = Client(bed.outside)
        on_node = Client(f"/run/netns/weir-{bed.name}-n0", PodCgroup(record["init"]["pid"]))
        self.ways = [(f"IPv{family} from {name}", client, family, self.node[family])
                     for name, client in (("outside", outside), ("the node", on_node))
                     for family in FAMILY]
        self.sockets = {what: self.datagrams(client, family)
                        for what, client, family, _ in self.ways}

    @staticmethod
    def datagrams(client, family):
        return lib_net.make(client, family, socket.SOCK_DGRAM, timeout=PAUSE)

    def door(self, says):
        both = [{"containerPort": 9000, "hostPort": PORT, "protocol": kind}
                for kind in ("TCP", "UDP")]
        return pod("door", says, 9000, ports=[
            *both, {"containerPort": 9000, "hostPort": BOUND_PORT, "hostIP": self.node[4]}])

    def ready(self):
        with contextlib.suppress(KeyError):
            return self.bed.pods()["door"]["ready"]
        return False

    def said(self):
        """(way, kind) -> who answers now; None: nobody."""
        found = {}
        for what, client, family, address in self.ways:
            found[what, "TCP"] = found[what, "UDP"] = None
            with contextlib.suppress(OSError):
                found[what, "TCP"] = who(client, family, address, PORT, PAUSE).split()[0]
            with contextlib.suppress(OSError):
                self.sockets[what].sendto(b"?", (address, PORT))
                found[what, "UDP"] = self.sockets[what].recv(100).decode().split()[0]
        return found


def takes_over(bench):
    bed = bench.bed
    with claim(f"{bench.text}: TCP and UDP from outside and from the node reach the pod"):
        wait_for(lambda: set(bench.said().values()) == {"old"}, "the old pod")
    bed.delete(bench.door("old"), "--wait", "30")
    with claim(f"{bench.text}: without the pod nobody has the port"):
        equal(set(bench.said().values()), {None})
    bed.apply(bench.door("new"))
    ready_at, taken_at = None, {}

    def taken():
        nonlocal ready_at
        for key, name in bench.said().items():
            if name == "new":
                taken_at.setdefault(key, time.monotonic())
        if ready_at is None and bench.ready():
            ready_at = time.monotonic()
        return ready_at and len(taken_at) == 2 * len(bench.ways)
    with claim(f"{bench.text}: the new pod takes all over"):
        wait_for(taken, f"the new pod, so far {taken_at}")
    for (what, kind), at in sorted(taken_at.items()):
        late = at - ready_at
        print(f"      {what} by {kind}: {1000 * late:+.0f} ms", flush=True)
    with claim(f"{bench.text}: within a second of its being ready"):
        assert taken_at and max(taken_at.values()) - ready_at <= WITHIN_S, taken_at
    with claim(f"{bench.text}: nobody meets the old one again"):
        for _ in range(10):
            equal(set(bench.said().values()), {"new"})


def bound(bench):
    for what, client, family, address in bench.ways:
        if family == 4:
            with claim(f"{bench.text}, {what}: a hostIP serves at that address"):
                equal(who(client, 4, address, BOUND_PORT).split()[0], "new")
    with claim(f"{bench.text}: and at no other"):
        for what, client, family, address in bench.ways:
            if family == 6:
                assert lib_services.error_of(
                    lambda c=client, a=address: who(c, 6, a, BOUND_PORT, 1.0)), what


def main():
    lib_lab.begin()
    for hooks in (True, False):
        bench = Bench(hooks)
        takes_over(bench)
        bound(bench)
        bench.bed.down()
    lib_lab.finish(CLAIMS)


main()
