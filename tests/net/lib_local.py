"""A cluster that `weir up` made, with the parts of lib_lab.Lab: what users run. Sockets enter its
namespaces from the test's process."""

import atexit
import json
import os
from pathlib import Path

import lib_net
from lib_lab import BIN, Agent

BASE = Path("/run/weir/local")
POD = """---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: lab}}
spec:
  nodeName: {node}
  hostNetwork: {host_network}
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, command: [sleep, infinity]}}]
"""


class Place:
    """A network namespace with addresses."""

    def __init__(self, path, addresses=()):
        self.path = str(path)
        self.address = {6 if ":" in address else 4: address for address in addresses}

    def inside(self):
        return lib_net.inside(self.path)


class Node(Place, Agent):
    def __init__(self, cluster, name):
        super().__init__(f"/run/netns/weir-{cluster.name}-{name}", [
            one["address"] for one in cluster.object("Node", "_", name)["status"]["addresses"]])
        self.node, self.run_dir = name, cluster.folder / "nodes" / name / "run"


class Cluster:
    """pods: name -> (node's index, on the host's network). Ends with the test, or by end()."""

    made = 0

    def __init__(self, tunnel, pods, folder):
        Cluster.made += 1
        self.name = f"t-{os.getpid()}-{Cluster.made}"
        self.folder = BASE / self.name
        manifest = Path(folder) / f"{self.name}.yaml"
        manifest.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n" + "".join(
            POD.format(name=name, node=f"n{node}", host_network=str(host_network).lower())
            for name, (node, host_network) in pods.items()))
        atexit.register(self.end)
        self.weir("up", manifest, "--tunnel", tunnel)
        self.net = Place(f"/run/netns/weir-{self.name}-net")
        self.nodes = [Node(self, "n0"), Node(self, "n1")]
        self.a, self.b = self.nodes
        self.pods = {name: self.find(name) for name in pods}

    def weir(self, verb, *words):
        return lib_net.run(BIN / "weir", verb, "--name", self.name, *words, timeout=120).stdout

    def object(self, kind, namespace, name):
        return json.loads((self.folder / "objects" / kind / namespace / f"{name}.json").read_text())

    def find(self, name):
        record = json.loads((self.folder / "pods" / "lab" / name / "record.json").read_text())
        addresses = [one["ip"] for one in self.object("Pod", "lab", name)["status"]["podIPs"]]
        return Place(f"/proc/{record['init']['pid']}/ns/net", addresses)

    def end(self):
        if self.folder.exists():
            self.weir("down")
