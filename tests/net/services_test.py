#!/usr/bin/env -S python3 -B
"""Every way to a Service: from pods, from nodes and their own pods, from outside; with the socket
hooks and without them, by tunnel and by routing, IPv4 and IPv6. Each line is a semantic of Kubernetes
(docs/services.md), told by who answers and whom it sees."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import lib_lab
import lib_local
from lib_lab import BIN, GATEWAY, claim, equal

POD = Path(__file__).resolve().parent / "lib_pod.py"
EXTERNAL = {4: "203.0.113.50", 6: "2001:db8:50::50"}
SERVERS = {"web-a": "n0", "web-b": "n1"}
CLIENTS = {"c0": ("n0", False), "c1": ("n1", False), "h0": ("n0", True), "h1": ("n1", True)}

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


def manifests():
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n"
    for name, node in SERVERS.items():
        text += server(name, node, [8080], labels="{app: web, pod: %s}" % name)
    text += server("host-web", "n1", [9100], host=True, labels="{app: host-web}")
    for name, (node, host) in CLIENTS.items():
        text += server(name, node, [7000 if host else 8080], host=host, labels="{pod: %s}" % name)
    web = "{app: web}"
    return text + "".join([
        service("web", web, target="web"),
        service("port", web, "type: NodePort", node_port=30080),
        service("port-local", "{pod: web-a}", "type: NodePort", "externalTrafficPolicy: Local",
                node_port=30081),
        service("balancer", web, "type: LoadBalancer", "loadBalancerSourceRanges: [%s/32, %s/128]" %
                (GATEWAY[4], GATEWAY[6])),
        service("extern", web, "externalIPs: [%s, '%s']" % (EXTERNAL[4], EXTERNAL[6])),
        service("own-node", "{pod: web-a}", "internalTrafficPolicy: Local"),
        service("sticky", web, "sessionAffinity: ClientIP"),
        service("nobody", "{pod: nobody}", "type: NodePort", node_port=30082),
        service("self", "{pod: c0}"),
        service("on-host", "{app: host-web}", target="9100").replace("targetPort: 8080",
                                                                     "targetPort: 9100"),
    ])


class Cluster(lib_local.Cluster):
    """hooks: socket hooks are on."""

    def __init__(self, tunnel, hooks, folder):
        self.hooks, self.folder_of_test = hooks, Path(folder)
        super().__init__(tunnel, {}, folder)
        self.addresses = {name: self.find(name).address for name in
                          [*SERVERS, *CLIENTS, "host-web"]}
        self.services = {}

    def weir(self, verb, *words):
        if verb == "up":
            agent = self.folder_of_test / f"agent-{self.hooks}"
            agent.write_text(f'#!/bin/sh\nexec {BIN}/weir-agent "$@" --socket-services '
                             f'{str(self.hooks).lower()}\n')
            agent.chmod(0o755)
            path = self.folder_of_test / f"{self.name}-services.yaml"
            path.write_text(manifests())
            words = [path, *words[1:], "--agent", agent]
        return super().weir(verb, *words)

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
            words = ["nsenter", f"--net={self.net.path}", *words]
        else:
            words = [str(BIN / "weir"), "exec", "--name", self.name, f"lab/{client}", "--", *words]
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


ALL = set(SERVERS)
IN_CLUSTER = ("c0", "c1", "h0", "h1")


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
    for client in clients:
        patience = 1 if how == "timeout" else 5
        answers = cluster.ask(client, question("tcp", to, port, patience=patience),
                              question("udp-connected", to, port, patience=patience))
        equal([answer.get("error") for answer in answers], [how, how], client)


def cells(cluster, family):
    node = {name: place.address[family] for name, place in zip(("n0", "n1"), cluster.nodes)}
    own = {client: node[CLIENTS[client][0]] for client in CLIENTS}
    address = {name: there[family] for name, there in cluster.addresses.items()}

    def vip(name):
        return cluster.cluster_ip(name, family)

    def check(name, cell, *arguments, **more):
        with claim(f"{cluster.title} IPv{family}: {name}"):
            cell(*arguments, **more)

    def one(client, *questions):
        return cluster.ask(client, *questions)

    check("ClusterIP from pods and nodes", serves, cluster, family, IN_CLUSTER, vip("web"), 80, ALL)
    check("the pod's address is kept", serves, cluster, family, ("c0", "c1"), vip("web"), 80, ALL,
          source=address.get)
    check("NodePort of the own node", lambda: [
        serves(cluster, family, [client], own[client], 30080, ALL) for client in IN_CLUSTER])
    check("NodePort of the other node", lambda: [
        serves(cluster, family, [client], node["n1" if own[client] == node["n0"] else "n0"], 30080,
               ALL) for client in IN_CLUSTER])
    check("NodePort from outside, any node", lambda: [
        serves(cluster, family, ["outside"], node[name], 30080, ALL, times=24) for name in node])
    check("traffic policy Local keeps the client's address", serves, cluster, family, ["outside"],
          node["n0"], 30081, {"web-a"}, source=lambda _: GATEWAY[family])
    check("traffic policy Local drops where no backend is", refuses, cluster, ["outside"],
          node["n1"], 30081, "timeout")
    check("traffic policy Local is no matter in the cluster", lambda: [
        serves(cluster, family, [client], own[client], 30081, {"web-a"}) for client in IN_CLUSTER])
    check("LoadBalancer from outside", serves, cluster, family, ["outside"],
          cluster.balancer_ip("balancer", family), 80, ALL, times=24)
    check("source ranges shut out clients in the cluster", refuses, cluster, ("c0", "h1"),
          cluster.balancer_ip("balancer", family), 80, "timeout")
    check("externalIPs inside", serves, cluster, family, IN_CLUSTER, EXTERNAL[family], 80, ALL)
    check("internal traffic policy Local", serves, cluster, family, ("c0", "h0"), vip("own-node"),
          80, {"web-a"})
    check("internal traffic policy Local refuses elsewhere", refuses, cluster, ("c1", "h1"),
          vip("own-node"), 80)
    check("no endpoints: refused at once", lambda: [
        refuses(cluster, IN_CLUSTER, vip("nobody"), 80),
        refuses(cluster, ["outside"], node["n0"], 30082)])
    check("another port of a ClusterIP: refused at once", refuses, cluster, IN_CLUSTER, vip("web"),
          81)
    check("a pod reaches itself", serves, cluster, family, ["c0"], vip("self"), 80, {"c0"})
    check("a backend on the host's network", serves, cluster, family, IN_CLUSTER, vip("on-host"),
          80, {"host-web"})

    def sticky():
        for client in IN_CLUSTER:
            answer, = one(client, question("tcp", vip("sticky"), 80, times=20))
            equal(len(names(answer)), 1, f"{client}: backends")

    def bound_ports():
        """One source port, one backend, two addresses of it."""
        for client in ("c0", "h1"):
            answers = one(client, *(question("tcp", to, 80, **{"from": 23456})
                                    for to in (vip("own-node") if client == "c0" else vip("web"),
                                               vip("web"), EXTERNAL[family])))
            equal([answer.get("error") for answer in answers], [None] * 3, client)

    check("session affinity", sticky)
    check("bound source ports", bound_ports)


CELLS = 19


def play(tunnel, hooks, folder):
    cluster = Cluster(tunnel, hooks, folder)
    cluster.title = f"{tunnel}, hooks {'on' if hooks else 'off'}"
    for family in (4, 6):
        cells(cluster, family)
    cluster.end()


def main():
    lib_lab.begin()
    scratch = os.environ.get("WEIR_TMP")
    with tempfile.TemporaryDirectory(prefix="weirsvc.", dir=scratch) as folder:
        for tunnel, hooks in (("vxlan", True), ("vxlan", False), ("none", False)):
            play(tunnel, hooks, folder)
    lib_lab.finish(3 * 2 * CELLS)


if __name__ == "__main__":
    main()
