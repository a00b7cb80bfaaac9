#!/usr/bin/env -S python3 -B
"""Agents of another build or with tables of another size take over while traffic runs, translated
TCP above all: the rows of tables are taken along, and nothing is lost or reset."""

import os
from pathlib import Path

import lib_lab
import lib_services
from lib_lab import BIN, ROOT, WORLD, claim, equal
from lib_net import FAMILY
from lib_services import Servers, both, met, service, tcp, vip
from lib_traffic import Traffic, flows_on, no_loss

CLAIMS = 6 + 2 * 2 * 2 + 1
BUILDS = {"this one": BIN / "weir-agent",
          "one with other layouts": Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release"),
                                         "tests", "weir-agent-other")}
NODE_PORT = {"TCP": 30080, "UDP": 30081}
PORT, STICKY_PORT = 8080, 8081
HELD = 24  # of each kind


class Scene:
    """A Service with two backends, one on each node; clients in a pod and outside; the world."""

    def __init__(self):
        self.lab = lab = lib_services.lab(hooks=False)
        self.client = lab.pod(lab.a, "client")
        self.backends = [lab.pod(lab.a, "near"), lab.pod(lab.b, "far")]
        ports = [{"name": kind.lower(), "protocol": kind, "port": PORT, "targetPort": PORT,
                  "nodePort": NODE_PORT[kind]} for kind in NODE_PORT]
        service(lab, "web", 1, self.backends, ports, type="NodePort")
        self.servers = Servers()
        for pod in self.backends:
            self.servers.add(pod.pod, pod, STICKY_PORT)
        self.servers.start()
        service(lab, "sticky", 2, self.backends, both(target=STICKY_PORT), sessionAffinity="ClientIP")
        lib_services.wait_to_serve([self.client], [2])

    def serve(self):
        made = Traffic([])
        for pod in self.backends:
            for family in FAMILY:
                made.serve(pod, family, pod.address[family], PORT)
        for family in FAMILY:
            made.serve(self.lab.net, family, WORLD[family], PORT)
        lib_services.wait_to_echo(self.client, 1, PORT)
        return made

    def traffic(self):
        made = self.serve()
        for family in FAMILY:
            node = self.lab.a.address[family]
            for name, place, one, other in (
                    ("Service", self.client, (vip(family, 1), PORT), (vip(family, 1), PORT)),
                    ("masqueraded", self.client, (WORLD[family], PORT), (WORLD[family], PORT)),
                    ("from outside", self.lab.net, (node, NODE_PORT["TCP"]),
                     (node, NODE_PORT["UDP"]))):
                made.meet(f"IPv{family} {name}", place, family, one, other)
        made.open_all_the_time(list(self.ways()))
        return made

    def ways(self):
        for family in FAMILY:
            yield self.client, family, (vip(family, 1), PORT)
            yield self.client, family, (WORLD[family], PORT)
            yield self.lab.net, family, (self.lab.a.address[family], NODE_PORT["TCP"])

    def stays_with(self):
        return {family: met(self.client, family, vip(family, 2), times=3) for family in FAMILY}

    def hold(self):
        return [tcp(place, family, *to) for place, family, to in self.ways() for _ in range(HELD)]


def all_echo(held, what):
    for number, sock in enumerate(held):
        text = f"{what} {number}".encode()
        sock.sendall(text)
        equal(sock.recv(100), text, f"connection {number}")


def change(node, *arguments):
    """The agent starts anew, with these; what it says of its tables."""
    node.stop()
    before = len(node.log.read_text())
    node.start(*node.lab.arguments, *arguments)
    assert not node.status()["adopted"], "it runs on with the programs of before"
    said = [line for line in node.log.read_text()[before:].splitlines() if " map weir_" in line]
    assert not any("error" in line for line in said), said
    return said


def another_size(scene):
    node = scene.lab.a
    traffic = scene.traffic()
    held = scene.hold()
    all_echo(held, "at first")
    flows_on(traffic, "at first")
    for turn in (1, 2):
        for size in ("131072", "32768"):
            with claim(f"--ct-max {size}, turn {turn}: connections are taken along, and said"):
                said = change(node, "--ct-max", size)
                assert any("weir_ct" in line and "taken along" in line for line in said), said
                equal(next(one["capacity"] for one in node.status()["maps"]
                           if one["name"] == "weir_ct"), int(size))
                flows_on(traffic, f"with {size}")
                all_echo(held, f"with {size}")
    result = traffic.end()
    with claim("other sizes: no datagram was lost, no connection was reset or refused"):
        no_loss(result)


def a_small_table(scene):
    node = scene.lab.a
    servers = scene.serve()
    held = scene.hold()
    all_echo(held, "at first")
    for _ in range(100):  # two rows each
        lib_services.tcp(scene.client, 4, vip(4, 1), PORT).close()
    with claim("a table that is too small: what did not fit is told, translated connections stay"):
        said = change(node, "--ct-max", str(2 * len(held) + 50))
        assert any("weir_ct" in line and "rows are lost" in line for line in said), said
        assert any("weir_ct" in line for line in node.status()["warnings"])
        all_echo(held, "in a small table")
    for sock in held:
        sock.close()
    servers.end()


def another_layout(scene):
    node = scene.lab.a
    traffic = scene.traffic()
    held = scene.hold()
    all_echo(held, "at first")
    backends = scene.stays_with()
    flows_on(traffic, "at first")
    for turn in (1, 2):
        for name in reversed(BUILDS):
            with claim(f"the agent is {name}, turn {turn}: rows are taken along, and said"):
                node.agent = BUILDS[name]
                said = change(node)
                for table in ("weir_ct", "weir_affinity", "weir_frag"):
                    assert any(f" {table}:" in line and "taken along" in line for line in said), said
                flows_on(traffic, f"with {name}")
                all_echo(held, f"with {name}")
            with claim(f"the agent is {name}, turn {turn}: clients stay with their backends"):
                equal(scene.stays_with(), backends)
    result = traffic.end()
    with claim("other layouts: no datagram was lost, no connection was reset or refused"):
        no_loss(result)


def main():
    lib_lab.begin()
    scene = Scene()
    another_size(scene)
    a_small_table(scene)
    change(scene.lab.a)
    another_layout(scene)
    lib_lab.finish(CLAIMS)


main()
