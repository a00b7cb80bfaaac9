"""A cluster that `weir up` made, with the parts of lib_lab.Lab: what users run. Sockets enter its
namespaces from the test's process."""

import atexit
import json
import os
import tempfile
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

    def __init__(self, tunnel, pods, folder, family="dual"):
        Cluster.made += 1
        self.name = f"t-{os.getpid()}-{Cluster.made}"
        self.folder = BASE / self.name
        manifest = Path(folder) / f"{self.name}.yaml"
        manifest.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n" + "".join(
            POD.format(name=name, node=f"n{node}", host_network=str(host_network).lower())
            for name, (node, host_network) in pods.items()))
        atexit.register(self.end)
        self.weir("up", manifest, "--tunnel", tunnel, "--family", family)
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


class Bed:
    """A cluster whose manifests are a test's own, as text. Ends with the test, or by down()."""

    def __init__(self, name):
        self.name = f"{name}-{os.getpid()}"[:20]
        self.folder = BASE / self.name
        self.texts = tempfile.TemporaryDirectory(prefix=f"weir-{name}-")
        atexit.register(self.down)

    def weir(self, verb, *words, check=True):
        return lib_net.run(BIN / "weir", verb, "--name", self.name, *words, check=check, timeout=150)

    def _file(self, text):
        path = Path(self.texts.name) / "manifests.yaml"
        path.write_text(text)
        return path

    def up(self, text, *options):
        return self.weir("up", self._file(text), *options).stdout

    def apply(self, text, *options, check=True):
        return self.weir("apply", self._file(text), *options, check=check)

    def delete(self, text, *options):
        return self.weir("delete", self._file(text), *options).stdout

    def run_in(self, pod, *command, container=None, check=True):
        choice = ["-c", container] if container else []
        return self.weir("exec", *choice, pod, "--", *command, check=check).stdout

    def status(self):
        return json.loads((self.folder / "status.json").read_text())

    def pods(self, prefix=""):
        return {p["name"]: p for p in self.status()["pods"] if p["name"].startswith(prefix)}

    def object(self, kind, namespace, name):
        return self.objects(kind, namespace)[name]

    def objects(self, kind, namespace):
        """name -> object; those that go meanwhile are left out."""
        found = {}
        for path in (self.folder / "objects" / kind / namespace).glob("*.json"):
            try:
                found[path.stem] = json.loads(path.read_text())
            except FileNotFoundError:
                continue
        return found

    def slices(self, namespace, service):
        return [s for s in self.objects("EndpointSlice", namespace).values()
                if s["metadata"]["labels"]["kubernetes.io/service-name"] == service]

    def endpoints(self, namespace, service):
        return [e for one in self.slices(namespace, service) for e in one.get("endpoints") or []]

    def routes(self, family):
        """Destination -> next hops, of the world outside."""
        shown = json.loads(lib_net.run("ip", "-j", f"-{family}", "-n", f"weir-{self.name}-net",
                                       "route").stdout)
        return {r["dst"]: sorted(hop["gateway"] for hop in r.get("nexthops", [r])
                                 if "gateway" in hop) for r in shown}

    def down(self):
        if self.folder.exists():
            self.weir("down")
