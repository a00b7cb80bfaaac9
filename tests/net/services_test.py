#!/usr/bin/env -S python3 -B
"""Every way to a Service: from pods, from nodes and their own pods, from outside; with the socket
hooks and without them, by tunnel and by routing, IPv4 and IPv6. Each line is a semantic of Kubernetes
(docs/services.md), told by who answers and whom it sees."""

import lib_cells
import lib_lab
from lib_cells import names, question, refuses, server, serves, service
from lib_lab import GATEWAY, claim, equal

EXTERNAL = {4: "203.0.113.50", 6: "2001:db8:50::50"}
SERVERS = {"web-a": "n0", "web-b": "n1"}
CLIENTS = {"c0": ("n0", False), "c1": ("n1", False), "h0": ("n0", True), "h1": ("n1", True)}
ALL = set(SERVERS)
IN_CLUSTER = tuple(CLIENTS)
CELLS = 21


def manifests():
    text = lib_cells.NAMESPACE
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


def cells(cluster, family):
    node = {name: there[family] for name, there in cluster.nodes.items()}
    own = {client: node[CLIENTS[client][0]] for client in CLIENTS}
    address = {name: cluster.pod(name)[family] for name in CLIENTS}

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
    check("traffic policy Local, called by another node: its own backends, the client kept", serves,
          cluster, family, ("c1", "h1"), node["n0"], 30081, {"web-a"}, source=address.get)
    check("traffic policy Local, called by another node: drops where no backend is", refuses, cluster,
          ("c0", "h0"), node["n1"], 30081, "timeout")
    check("traffic policy Local is no matter on the own node", lambda: [
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


def play(tunnel, hooks):
    cluster = lib_cells.Cluster(tunnel, hooks, manifests())
    for family in (4, 6):
        cells(cluster, family)
    cluster.down()


def main():
    lib_lab.begin()
    for tunnel, hooks in (("vxlan", True), ("vxlan", False), ("none", False)):
        play(tunnel, hooks)
    lib_lab.finish(3 * 2 * CELLS)


main()
