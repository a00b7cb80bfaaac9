"""Clusters of servers that tell who they are, and questions put to them from pods, from nodes and from
outside (lib_pod.py); with the socket hooks or without them."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lib_local
from lib_lab import BIN, equal

POD = Path(__file__).resolve().parent / "lib_pod.py"

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n"
MANIFEST_POD = """---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: lab, labels: {labels}}}
spec:
  nodeName: {node}
  hostNetwork: {host}
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    command: {command}
    ports: {ports}
    readinessProbe: {{tcpSocket: {{port: {probe}}}, periodSeconds: 1}}
"""
MANIFEST_SERVICE = """---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: lab}}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {selector}
  ports:
  - {{name: tcp, port: 80, targetPort: {target}{node_port}}}
  - {{name: udp, port: 80, protocol: UDP, targetPort: 8080{node_port}}}
{more}
"""


def server(name, node, ports, host=False, labels="{}"):
    return MANIFEST_POD.format(
        name=name, node=node, host=str(host).lower(), labels=labels, probe=ports[0],
        command=json.dumps([sys.executable, "-B", str(POD), "serve", name, *map(str, ports)]),
        ports="[{name: web, containerPort: %d}]" % ports[0])


def service(name, selector, *more, node_port=None, target="8080"):
    return MANIFEST_SERVICE.format(
        name=name, selector=selector, target=target,
        node_port=f", nodePort: {node_port}" if node_port else "",
        more="\n".join(f"  {line}" for line in more))


class Cluster(lib_local.Bed):
    """text: manifests; hooks: socket hooks are on."""

    made = 0

    def __init__(self, tunnel, hooks, text, *options):
        Cluster.made += 1
        super().__init__(f"cells{Cluster.made}")
        self.title = f"{tunnel}, hooks {'on' if hooks else 'off'}"
        self.services = {}
        self.up(text, "--tunnel", tunnel, "--agent", self.agent(hooks), *options)
        self.outside = f"/run/netns/weir-{self.name}-net"
        self.nodes = {name: self.addresses(node["status"]["addresses"], "address")
                      for name, node in self.objects("Node", "_").items()}

    def agent(self, hooks):
        path = Path(self.texts.name) / "agent"
        path.write_text(f'#!/bin/sh\nexec {BIN}/weir-agent "$@" --socket-services '
                        f'{str(hooks).lower()}\n')
        path.chmod(0o755)
        return path

    @staticmethod
    def addresses(objects, field):
        """By family."""
        return {6 if ":" in one[field] else 4: one[field] for one in objects}

    def pod(self, name):
        return self.addresses(self.object("Pod", "lab", name)["status"]["podIPs"], "ip")

    def service(self, name):
        if name not in self.services:
            self.services[name] = self.object("Service", "lab", name)
        return self.services[name]

    def cluster_ip(self, name, family):
        return next(ip for ip in self.service(name)["spec"]["clusterIPs"]
                    if (":" in ip) == (family == 6))

    def balancer_ip(self, name, family):
        return next(one["ip"] for one in self.service(name)["status"]["loadBalancer"]["ingress"]
                    if (":" in one["ip"]) == (family == 6))

    def ask(self, client, *questions):
        """client: a pod, or "outside"."""
        words = [sys.executable, "-B", str(POD), "ask"]
        if client == "outside":
            words = ["nsenter", f"--net={self.outside}", *words]
        else:
            words = [BIN / "weir", "exec", "--name", self.name, f"lab/{client}", "--", *words]
        done = subprocess.run(words, input=json.dumps(questions), text=True, capture_output=True,
                              timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


# --- what is expected ----------------------------------------------------------------------------

def names(answer, what=""):
    assert "said" in answer, f"{what}: {answer}"
    return {words[0] for words in answer["said"]}


def sources(answer):
    return {words[1] for words in answer["said"]}


def question(proto, to, port, **more):
    return {"proto": proto, "to": to, "port": port, **more}


def serves(cluster, family, clients, to, port, who, times=24, source=None):
    """Each client, each protocol: over `times` connections exactly `who` answer."""
    for client in clients:
        kinds = ("tcp", "udp", "udp-connected")
        answers = cluster.ask(client, *(question(kind, to, port, times=times) for kind in kinds))
        for kind, answer in zip(kinds, answers):
            equal(names(answer, f"{client} by {kind}"), who, f"{client} by {kind}")
            equal(answer["peer"], [to, port], f"{client} by {kind}: whom the client sees")
            if source:
                equal(sources(answer), {source(client)}, f"{client} by {kind}: the source")


def refuses(cluster, clients, to, port, how="refused"):
    """All at once: to hear nothing takes its time."""
    patience = 1 if how == "timeout" else 5
    asked = [(client, question(kind, to, port, patience=patience))
             for client in clients for kind in ("tcp", "udp-connected")]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = pool.map(lambda one: cluster.ask(*one)[0], asked)
        for (client, about), answer in zip(asked, answers):
            equal(answer.get("error"), how, f"{client} by {about['proto']}")
