#!/usr/bin/env -S python3 -B
"""SCTP through Services, another port on the backend: real associations of a stack in user space
(lib_sctp.py), whose checksums both ends verify. Hooks never see its raw sockets: packets only."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import lib_lab
import lib_net
import lib_services
from lib_lab import GATEWAY, claim, equal
from lib_net import FAMILY, wait_for
from lib_services import service, told, vip

CLAIMS = 2 * (2 * 6 + 1)
SCTP = str(Path(__file__).resolve().parent / "lib_sctp.py")
NEAR_PORT, FAR_PORT = 30080, 30081
TUNNELS = ("vxlan", "none")
TARGET = 7777
SIZES = (1, 3, 1000, 20_000)


def command(place, *words):
    return ["nsenter", f"--net={place.path}", sys.executable, "-B", SCTP, *map(str, words)]


def ports(node_port):
    return [{"name": "sctp", "protocol": "SCTP", "port": 80, "targetPort": 7777,
             "nodePort": node_port}]


class Bench:
    def __init__(self, tunnel):
        self.lab = lab = lib_services.lab(tunnel=tunnel)
        self.tunnel, self.servers = tunnel, []
        self.client, self.near, self.far = (lab.pod(node, name) for node, name in (
            (lab.a, "client"), (lab.a, "near"), (lab.b, "far")))
        for pod in (self.near, self.far):
            self.serve(pod)
        service(lab, "near", 1, [self.near], ports(NEAR_PORT), type="NodePort")
        service(lab, "far", 2, [self.far], ports(FAR_PORT), type="NodePort")
        for node, name in itertools.product(lab.nodes, ("near", "far")):
            wait_for(lambda n=node, s=name: told(n, s), f"{name} at node {node.node}")

    def serve(self, pod):
        server = subprocess.Popen(command(pod, "serve", pod.pod, TARGET, *pod.address.values()),
                                  stdout=subprocess.PIPE, text=True,
                                  preexec_fn=lib_net.die_with_parent)
        self.servers.append(server)
        equal(server.stdout.readline(), "ready\n")

    def end(self):
        for server in self.servers:
            server.kill()
            server.wait()
        self.lab.end()


def associates(place, source, to, name, seen):
    """Messages of all sizes are answered by `name`, who sees `seen`, as `to`."""
    done = subprocess.run(command(place, "ask", source, *to, *SIZES), text=True,
                          capture_output=True, check=False)
    equal(done.returncode, 0, done.stderr)
    equal(json.loads(done.stdout), [[name, seen, size, size, to[0]] for size in SIZES])


def play(bench, family):
    lab, client = bench.lab, bench.client
    node, own = lab.a.address[family], client.address[family]
    outside = GATEWAY[family]
    near, far = (vip(family, number) for number in (1, 2))

    def check(what, *arguments):
        with claim(f"{bench.tunnel} IPv{family}: {what}"):
            associates(*arguments)
    check("a pod, a backend on its node", client, own, (near, 80), "near", own)
    check("a pod, a backend on another node", client, own, (far, 80), "far", own)
    check("the node, a backend of its own", lab.a, node, (near, 80), "near", node)
    check("the node, a backend on another node", lab.a, node, (far, 80), "far", node)
    check("outside, a backend on the node that it asks", lab.net, outside, (node, NEAR_PORT), "near",
          outside)
    check("outside, a backend on another node", lab.net, outside, (node, FAR_PORT), "far", node)


def counts(bench):
    with claim(f"{bench.tunnel}: they are flows of their Service"):
        for name in ("near", "far"):
            flows = bench.lab.a.flows(f"service=lab/{name}&last=1000")
            equal({flow["protocol"] for flow in flows}, {"SCTP"})


def main():
    lib_lab.begin()
    for tunnel in TUNNELS:
        bench = Bench(tunnel)
        for family in FAMILY:
            play(bench, family)
        counts(bench)
        bench.end()
    lib_lab.finish(CLAIMS)


main()
