#!/usr/bin/env -S python3 -B
"""A link between two nodes that takes less than the nodes' own: a router that says so, and a switch that
does not. The agents find it and name it, pods are told, and large packets come through. By tunnel and
by native routing, both families."""

import contextlib
import errno
import os
import re
import socket
from pathlib import Path

import lib_lab
import lib_net
from lib_lab import claim, equal
from lib_net import wait_for

SMALL = 1400
FOUND_IN = 10
ROUTER = {4: "172.30.0.20", 6: "fd00:30::20"}
A_SEARCH_IN_VAIN = 5  # three of the whole size, two small ones
BITS = {4: 32, 6: 128}
HEADERS = {"vxlan": 50, "none": 0}
CLAIMS = 2 * (2 + 2 * 10) + 2


def found(node):
    return [one for one in node.status()["warnings"] if "the way to node" in one]


def size_in(text):
    return int(re.search(r"packets of (\d+) bytes", text)[1])


def echoes(node, way="InEchos"):
    """How many requests it has got, or made (IPv4)."""
    with node.inside():
        names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines()
                         if line.startswith("Icmp:"))
    return int(values[names.index(way)])


def mtu_of_route(node, family, target):
    """What the node's own stack sends there."""
    return int(node.json(f"-{family}", "route", "get", target)[0].get("metrics", [{}])[0].get("mtu", 0))


def datagram_comes(client, server, family, size):
    """REQUIRES: the way is known. What does not fit goes in fragments."""
    with lib_net.datagrams(server, family, server.address[family]) as receiver, \
            lib_net.datagrams(client, family) as sender:
        sender.connect(receiver.getsockname()[:2])
        sent = os.urandom(size)

        def comes():
            with contextlib.suppress(OSError):
                sender.send(sent)
                receiver.settimeout(0.2)
                return receiver.recv(65536) == sent
            return False

        wait_for(comes, f"a datagram of {size} bytes")


def learns(client, server, family, mtu):
    with lib_net.datagrams(server, family, server.address[family]) as receiver, \
            lib_net.datagrams(client, family) as sender:
        sender.connect(receiver.getsockname()[:2])
        lib_net.mtu_discover(sender, family, lib_net.DONT_FRAGMENT)

        def learned():
            try:
                sender.send(bytes(min(client.mtu(), 1500) - 48))
            except OSError as error:
                equal(error.errno, errno.EMSGSIZE)
            return lib_net.path_mtu(sender, family) == mtu

        wait_for(learned, f"a path MTU of {mtu}")


# --- what lies between the nodes ------------------------------------------------------------------

class Routed:
    """Both nodes reach each other by a router whose second link is smaller."""

    says = [f"{address} says so" for address in ROUTER.values()]
    takes = {SMALL}

    def __init__(self, lab):
        self.lab = lab
        self.router = lib_lab.Namespace("router")
        for name, mtu in (("wide", 1500), ("narrow", SMALL)):
            lab.net.ip("link", "add", f"r{name}", "type", "veth", "peer", "name", name, "netns",
                       self.router.name)
            lab.net.ip("link", "set", f"r{name}", "master", "br0", "up")
            self.router.ip("link", "set", name, "mtu", str(mtu), "up")
        with self.router.inside():
            for path, value in (("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1"),
                                ("ipv4/conf/all/send_redirects", "0"),
                                ("ipv4/conf/wide/send_redirects", "0")):
                with open(f"/proc/sys/net/{path}", "w", encoding="ascii") as file:
                    file.write(value)
        for family, address in ROUTER.items():
            nodad = ["nodad"] if family == 6 else []
            self.router.ip("addr", "add", f"{address}/{BITS[family]}", "dev", "wide", *nodad)
            for node in lab.nodes:
                self.router.ip(f"-{family}", "route", "add", f"{node.address[family]}/{BITS[family]}",
                               "dev", "narrow")
            for node, other in ((lab.a, lab.b), (lab.b, lab.a)):
                for target in (other.address[family], other.ranges[family == 6]):
                    self.router.ip(f"-{family}", "route", "replace", target, "via",
                                   other.address[family], "dev", "narrow", "onlink")
                node.ip(f"-{family}", "route", "add", f"{other.address[family]}/{BITS[family]}",
                        "via", address, "dev", "eth0", "onlink")

    def mend(self):
        for node, other in ((self.lab.a, self.lab.b), (self.lab.b, self.lab.a)):
            for family in (4, 6):
                node.ip(f"-{family}", "route", "del", f"{other.address[family]}/{BITS[family]}")


class Switched:
    """A port of the switch between them drops what is larger; now and then Linux's has a word to say."""

    says = ["vanish without a word", f"{lib_lab.GATEWAY[6]} says so"]
    takes = {SMALL, SMALL + 4}  # a VLAN's tag is let through, and not all look whether there is one

    def __init__(self, lab):
        self.lab = lab
        lab.net.ip("link", "set", "va", "mtu", str(SMALL))

    def mend(self):
        self.lab.net.ip("link", "set", "va", "mtu", "1500")


# --- the claims -----------------------------------------------------------------------------------

def injected(lab, tunnel, kind, a1, b1):
    what = f"{tunnel}, {kind.__name__.lower()}"
    ways = 1 if tunnel == "vxlan" else 2  # of one family, or both
    link = kind(lab)
    for pod in (a1, b1):
        for family in (4, 6):
            pod.ip(f"-{family}", "route", "flush", "cache")
    with claim(f"{what}: both agents name the link within {FOUND_IN} s"):
        for node, other in ((lab.a, lab.b), (lab.b, lab.a)):
            wait_for(lambda one=node: len(found(one)) == ways, f"the link to be named: {node.status()}",
                     FOUND_IN)
            for text in found(node):
                assert f"node {other.node} " in text and size_in(text) in kind.takes, text
                assert "link 1500" in text and any(one in text for one in link.says), text
    inner = size_in(found(lab.a)[0]) - HEADERS[tunnel]
    for family in (4, 6):
        for name, client, server in (("there", a1, b1), ("back", b1, a1)):
            with claim(f"{what}: IPv{family}, {name}: TCP and datagrams of full size come through"):
                lib_net.transfer(client, server, family, server.address[family], 1 << 20)
                datagram_comes(client, server, family, 1452)
                datagram_comes(client, server, family, 8000)
        with claim(f"{what}: IPv{family}: a pod that must not fragment is told what fits"):
            learns(a1, b1, family, inner)
        with claim(f"{what}: IPv{family}: the node's own packets to the pod fit"):
            equal(mtu_of_route(lab.a, family, b1.address[family]), inner)
    with claim(f"{what}: mended, the whole size is used again"):
        link.mend()
        for node in lab.nodes:
            wait_for(lambda one=node: not found(one), f"nothing to be named: {found(node)}", FOUND_IN)
        wait_for(lambda: mtu_of_route(lab.a, 4, b1.address[4]) != inner, "the route")


def a_smaller_link_of_its_own(lab, b1):
    with claim("a smaller way is forgotten when the node's own link takes less than it"):
        link = Switched(lab)
        wait_for(lambda: found(lab.a) and found(lab.b), "the way to be named", FOUND_IN)
        lab.a.ip("link", "set", "eth0", "mtu", "1300")
        wait_for(lambda: mtu_of_route(lab.a, 4, b1.address[4]) == 1300 - HEADERS["vxlan"],
                 "the node's own MTU in its routes")
        equal(found(lab.a), [])
        lab.a.ip("link", "set", "eth0", "mtu", "1500")
        link.mend()
        wait_for(lambda: not found(lab.a) and not found(lab.b), "whole ways", 2 * FOUND_IN)


def played(tunnel):
    lab = lib_lab.Lab(tunnel=tunnel)
    a1, b1 = lab.pod(lab.a, "a1"), lab.pod(lab.b, "b1")
    with claim(f"{tunnel}: a whole way is nothing to speak of"):
        lib_net.transfer(a1, b1, 4, b1.address[4], 1 << 16)
        equal([found(node) for node in lab.nodes], [[], []])
    for kind in (Switched, Routed):
        injected(lab, tunnel, kind, a1, b1)
    if tunnel == "vxlan":
        a_smaller_link_of_its_own(lab, b1)
    with claim(f"{tunnel}: a node that answers nothing has no smaller way"):
        lab.a.ip("link", "set", "eth0", "down")
        searched = echoes(lab.b, "OutEchos") + 2 * A_SEARCH_IN_VAIN
        wait_for(lambda: echoes(lab.b, "OutEchos") >= searched, "a search in vain", 2 * FOUND_IN)
        lab.a.ip("link", "set", "eth0", "up")
        equal(found(lab.b), [])
    lab.end()


def nobody_asks():
    lab = lib_lab.Lab(arguments=("--path-probes", "false"))
    with claim("without the setting a node asks nobody"):
        lab.b.stop()
        lab.b.start("--path-probes", "true")
        wait_for(lambda: echoes(lab.a) > 1, "the other node to have asked twice", 3 * FOUND_IN)
        equal(echoes(lab.b), 0)
    lab.end()


def main():
    lib_lab.begin()
    socket.setdefaulttimeout(lib_net.PATIENCE)
    for tunnel in ("vxlan", "none"):
        played(tunnel)
    nobody_asks()
    lib_lab.finish(CLAIMS)


main()
