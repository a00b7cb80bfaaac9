#!/usr/bin/env -S python3 -B
"""Which backends a Service has, in a cluster of two zones: topology, readiness, termination, change of
type, what balancers are told. Asked by pods, by processes of the nodes, and from outside."""

import json
import subprocess

import lib_cells
import lib_lab
from lib_cells import NAMESPACE, names, question, refuses, server, serves, service
from lib_lab import claim, equal
from lib_net import wait_for

ZONES = {"n0": "a", "n1": "b", "n2": "a"}
SERVERS = {"s0": "n0", "s1": "n1", "s2": "n2"}
CLIENTS = {"c0": ("n0", False), "c1": ("n1", False), "c2": ("n2", False), "h0": ("n0", True),
           "h1": ("n1", True)}
HEALTH_PORT, PROXY_PORT = 31990, 10256
UNUSED = {4: "10.96.255.250", 6: "fd00:96::fffa"}
ALL = set(SERVERS)
CLAIMS = 2 * (2 * 13 + 4)


def deaf(pod):
    """The pod does not end before its grace is over."""
    return pod.replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 600").replace(
        'command: ["', "command: [sh, -c, 'trap \"\" TERM; exec \"$@\"', sh, \"", 1)


def unready(pod):
    return pod.replace("tcpSocket: {port: 8080}", "tcpSocket: {port: 9}")


UNREADY = unready(server("unready", "n1", [8080], labels="{pod: unready}"))
LAST = deaf(server("last", "n1", [8080], labels="{pod: last, app: leaving}"))
ODD = server("odd", "n1", [8081, 8080], labels="{app: named}")


def manifests():
    text = NAMESPACE
    for name, node in SERVERS.items():
        labels = "{app: all, pod: %s%s}" % (name, "" if name == "s2" else ", half: 'yes'")
        text += server(name, node, [8080], labels=labels)
    for name, (node, host) in CLIENTS.items():
        text += server(name, node, [7000 if host else 8080], host=host)
    text += LAST + ODD
    text += server("even", "n0", [8080], labels="{app: named}")
    every = "{app: all}"
    return text + "".join([
        service("zone", every, "type: NodePort", "trafficDistribution: PreferSameZone",
                node_port=30080),
        service("close", every, "trafficDistribution: PreferClose"),
        service("node", every, "trafficDistribution: PreferSameNode"),
        service("half", "{half: 'yes'}", "trafficDistribution: PreferSameNode"),
        service("mine", every).replace("metadata: {", "metadata: {annotations: {weir.dev/node-local: "
                                       "'true'}, "),
        service("eager", "{pod: unready}", "publishNotReadyAddresses: true"),
        service("patient", "{pod: unready}"),
        service("leaving", "{app: leaving}", "type: NodePort", node_port=30081),
        service("named", "{app: named}", target="web"),
        service("health", "{pod: s0}", "type: LoadBalancer", "externalTrafficPolicy: Local",
                f"healthCheckNodePort: {HEALTH_PORT}"),
        service("changing", every),
    ])


class Choice:
    def __init__(self, cluster, family):
        self.cluster, self.family = cluster, family
        self.node = {name: there[family] for name, there in cluster.nodes.items()}
        self.title = f"{cluster.title} IPv{family}"

    def vip(self, name):
        return self.cluster.cluster_ip(name, self.family)

    def check(self, name):
        return claim(f"{self.title}: {name}")

    def serve(self, name, expected):
        """expected: client -> who answers at the Service's ClusterIP."""
        for client, who in expected.items():
            serves(self.cluster, self.family, [client], self.vip(name), 80, who)

    def at_port(self, node, port, who):
        serves(self.cluster, self.family, ["outside"], self.node[node], port, who)

    def http(self, node, port, path):
        """(code, body) as a balancer outside gets them."""
        address = f"[{self.node[node]}]" if self.family == 6 else self.node[node]
        done = subprocess.run(["nsenter", f"--net={self.cluster.outside}", "curl", "-sS", "-m", "5",
                               "-w", "\n%{http_code}", f"http://{address}:{port}{path}"],
                              capture_output=True, text=True, check=False)
        equal((done.returncode, done.stderr), (0, ""), f"http of {node}:{port}")
        body, code = done.stdout.rsplit("\n", 1)
        return int(code), json.loads(body)


def topology(choice):
    zone = {"c0": {"s0", "s2"}, "h0": {"s0", "s2"}, "c1": {"s1"}, "h1": {"s1"}}
    with choice.check("PreferSameZone"):
        choice.serve("zone", zone)
    with choice.check("PreferSameZone counts for clients outside, by the node they ask"):
        choice.at_port("n0", 30080, {"s0", "s2"})
        choice.at_port("n1", 30080, {"s1"})
    with choice.check("PreferClose is the same"):
        choice.serve("close", zone)
    with choice.check("PreferSameNode"):
        choice.serve("node", {"c0": {"s0"}, "h0": {"s0"}, "c1": {"s1"}, "h1": {"s1"}})
    with choice.check("PreferSameNode without one: the zone's"):
        choice.serve("half", {"c0": {"s0"}, "c1": {"s1"}, "c2": {"s0"}})
    with choice.check("the own node first, by annotation"):
        choice.serve("mine", {"c0": {"s0"}, "h1": {"s1"}})


def readiness(choice):
    with choice.check("publishNotReadyAddresses"):
        choice.serve("eager", {client: {"unready"} for client in CLIENTS})
    with choice.check("else who is not ready has no connections"):
        refuses(choice.cluster, CLIENTS, choice.vip("patient"), 80)
    with choice.check("a named port is each pod's own"):
        choice.serve("named", {client: {"odd", "even"} for client in CLIENTS})
    with choice.check("an unused address of the Service range is dropped"):
        refuses(choice.cluster, ("c0", "h1"), UNUSED[choice.family], 80, "timeout")


def balancers(choice):
    with choice.check("healthCheckNodePort: where a backend is"):
        equal(choice.http("n0", HEALTH_PORT, "/"),
              (200, {"service": {"namespace": "lab", "name": "health"}, "localEndpoints": 1,
                     "serviceProxyHealthy": True}))
    with choice.check("healthCheckNodePort: where none is"):
        code, body = choice.http("n1", HEALTH_PORT, "/")
        equal((code, body["localEndpoints"]), (503, 0))
    with choice.check("the node's own health"):
        equal({choice.http(node, PROXY_PORT, "/healthz")[0] for node in ZONES}, {200})


def leaving(cluster, choices):
    """The last backend serves while it terminates, and a ready one comes before it."""
    cluster.delete(UNREADY)
    cluster.delete(LAST, "--wait", "0")

    def states():
        return [one["conditions"] for one in cluster.endpoints("lab", "leaving")]
    wait_for(lambda: any(one["terminating"] for one in states()), "last to terminate")
    with claim(f"{cluster.title}: the last backend serves while it terminates"):
        for choice in choices:
            choice.serve("leaving", {client: {"last"} for client in CLIENTS})
            choice.at_port("n0", 30081, {"last"})
    late = cluster.apply(server("next", "n0", [8080], labels="{app: leaving}"), "--wait", "5",
                         check=False).stderr
    with claim(f"{cluster.title}: who waits for it is told of the pod that terminates"):
        assert "lab/last: still terminating" in late, late
        wait_for(lambda: cluster.pods()["next"]["ready"], "next to be ready")
    with claim(f"{cluster.title}: a ready one comes before one that terminates"):
        for choice in choices:
            choice.serve("leaving", {client: {"next"} for client in CLIENTS})
            choice.at_port("n1", 30081, {"next"})


def change(cluster, choices):
    """Each type follows each other one; what a type does not have is gone."""
    node_port = 30090

    def become(kind):
        text = service("changing", "{app: all}", f"type: {kind}",
                       node_port=node_port if kind in ("NodePort", "LoadBalancer") else None)
        if kind == "ExternalName":
            text = text.replace("ipFamilyPolicy: RequireDualStack", "externalName: there.test")
        cluster.apply(text)
        cluster.services.pop("changing", None)

    def reached(client, to, port):
        answer, = cluster.ask(client, question("tcp", to, port, times=24, patience=1))
        return "said" in answer and names(answer) == ALL

    # Each node is as soon as it can be, and none waits for another.
    def reach(choice, clients, to, port, what):
        for client in clients:
            wait_for(lambda: reached(client, to, port), f"{client} to reach {what}")
        serves(cluster, choice.family, clients, to, port, ALL)

    def follows(kind):
        become(kind)
        for choice in choices:
            node = choice.node["n1"]
            has_port = kind in ("NodePort", "LoadBalancer")
            wait_for(lambda n=node: reached("outside", n, node_port) == has_port,
                     f"{kind} at the NodePort")
            if kind != "ExternalName":
                reach(choice, ["c0", "h1"], choice.vip("changing"), 80, f"{kind} at its ClusterIP")
            if kind == "LoadBalancer":
                reach(choice, ["outside"], cluster.balancer_ip("changing", choice.family), 80,
                      "the balancer")
    with claim(f"{cluster.title}: every type follows every other"):
        for kind in ("NodePort", "ClusterIP", "LoadBalancer", "NodePort", "LoadBalancer", "ClusterIP",
                     "ExternalName", "NodePort", "ExternalName", "LoadBalancer", "ExternalName",
                     "ClusterIP"):
            follows(kind)


def main():
    lib_lab.begin()
    for hooks in (True, False):
        cluster = lib_cells.Cluster("vxlan", hooks, manifests(), "--nodes", len(ZONES), "--zones",
                                    ",".join(ZONES.values()))
        cluster.apply(UNREADY)
        wait_for(lambda c=cluster: len(c.endpoints("lab", "eager")) == 2, "an unready endpoint")
        choices = [Choice(cluster, family) for family in (4, 6)]
        for choice in choices:
            topology(choice)
            readiness(choice)
            balancers(choice)
        leaving(cluster, choices)
        change(cluster, choices)
        cluster.down()
    lib_lab.finish(CLAIMS)


main()
