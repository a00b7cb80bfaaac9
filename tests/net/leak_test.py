#!/usr/bin/env -S python3 -B
"""Nothing piles up: connections leave the table when they are over, each told once with exact
counts; pods that come and go cost no descriptor, link, address or entry; a node that ends leaves no
program behind. Both families."""

import collections
import contextlib
import json
import os
import struct

import lib_lab
import lib_net
from lib_lab import WORLD, claim, equal
from lib_net import run, wait_for

CONNECTIONS = 60
PODS = 40
QUESTION = b"?" * 32
HEADER = {4: 20, 6: 40}
CLAIMS = 12
SWEPT = 45  # seconds until the sweep must have taken everything


def ways(lab, pods):
    a1, a2, b1 = pods
    return [(family, name, a1, server, address[family]) for family in (4, 6)
            for name, server, address in (("on the node", a2, a2.address),
                                          ("across", b1, b1.address),
                                          ("masqueraded", lab.net, WORLD))]


def ask_udp(family, client, server, address):
    """Questions with one answer each, each its own connection: all stay open to the end, so that no
    port is used twice. The server's port and the clients'."""
    ports = []
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(lib_net.datagrams(server, family, address))
        for _ in range(CONNECTIONS):
            here = stack.enter_context(lib_net.datagrams(client, family))
            here.connect(there.getsockname()[:2])
            here.send(QUESTION)
            data, peer = there.recvfrom(100)
            there.sendto(data, peer)
            equal(here.recv(100), QUESTION)
            ports.append(here.getsockname()[1])
        return there.getsockname()[1], ports


def ask_tcp(family, client, server, address):
    ports = []
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(lib_net.listener(server, family, address))
        for _ in range(CONNECTIONS):
            here = stack.enter_context(lib_net.connected(client, family, listener.getsockname()))
            there = stack.enter_context(listener.accept()[0])
            for one, other in ((here, there), (there, here)):
                one.sendall(QUESTION)
                equal(other.recv(100), QUESTION)
            ports.append(here.getsockname()[1])
        return listener.getsockname()[1], ports


def ended(node, protocol, source, port):
    """Lines of connections that left the table, by the opener's port."""
    found = collections.defaultdict(list)
    for flow in node.flows("last=100000"):
        if flow["type"] == "ended" and flow["protocol"] == protocol and \
                flow["source"]["address"] == source and flow["destination"].get("port") == port:
            found[flow["source"]["port"]].append(flow)
    return found


def with_port(node, port):
    """Entries of the connection table that bear this port."""
    wire = struct.pack("!H", port)
    return [told(key, value) for key, value in node.map("weir_ct").items()
            if wire in (key[32:34], key[34:36])]


def told(key, value):
    """An entry as abi/conntrack.h lays it out, to be read by people."""
    state, _, flags = struct.unpack("=III", value[16:28])
    return {"key": key.hex(), "state": state, "flags": flags,
            "packets": struct.unpack("=QQ", value[112:128])}


def table(lab, pods):
    asked = []
    for family, name, client, server, address in ways(lab, pods):
        for protocol, ask in (("UDP", ask_udp), ("TCP", ask_tcp)):
            asked.append((family, name, protocol, client.address[family],
                          *ask(family, client, server, address)))
    with claim(f"{len(asked)} × {CONNECTIONS} connections leave the tables of both nodes"):
        for *_, port, _ in asked:
            for node in lab.nodes:
                try:
                    wait_for(lambda n=node, p=port: not with_port(n, p), "the sweep", SWEPT)
                except AssertionError:
                    raise AssertionError(f"still on {node.node} after {SWEPT} s: "
                                         f"{with_port(node, port)}") from None
    for family in (4, 6):
        with claim(f"IPv{family}: each is told once as ended, where it began"):
            for kind, name, protocol, source, port, ports in asked:
                if kind == family:
                    found = wait_for(lambda s=source, q=port, t=protocol, n=len(ports): (
                        lambda lines: lines if len(lines) == n else None)(
                            ended(lab.a, t, s, q)), f"{name} {protocol} to be told", 10)
                    equal({number: len(lines) for number, lines in found.items()},
                          dict.fromkeys(ports, 1), f"{name} {protocol}")
        with claim(f"IPv{family}: with exact counts of packets and bytes"):
            length = HEADER[family] + 8 + len(QUESTION)
            for kind, name, protocol, source, port, _ in asked:
                if kind != family:
                    continue
                for lines in ended(lab.a, protocol, source, port).values():
                    if protocol == "UDP":
                        equal((lines[0]["packets"], lines[0]["bytes"]), ([1, 1], [length] * 2),
                              f"{name} {protocol}")
                    else:
                        assert min(lines[0]["packets"]) >= 3, lines[0]


def descriptors(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def standing(node):
    return {"links": sorted(node.links()), "map": sorted(node.map("weir_endpoint")),
            "pins": node.pins(), "records": os.listdir(node.state / "sandboxes"),
            "used": [pool["used"] for pool in node.status()["pools"]],
            "routes": [node.ip(f"-{family}", "route", "show", "table", "all")
                       for family in (4, 6)]}


def pods_come_and_go(lab):
    node = lab.a
    pod = lib_lab.Pod(lab, node, "guest")
    pod.add()
    pod.delete()
    before = standing(node)
    wait_for(lambda: standing(node) == before, "the node to rest")
    open_before = descriptors(node)
    seen = set()
    with claim(f"{PODS} pods come and go"):
        for _ in range(PODS):
            pod.add()
            seen.add(pod.address[4])
            pod.delete()
    with claim("each had an address that had rested"):
        equal(len(seen), PODS)
    with claim("no link, route, address, entry, pin or record is left of them"):
        wait_for(lambda: standing(node) == before, f"{standing(node)} to be {before}", 10)
        equal(sorted(pod.links()), ["lo"])
    with claim("the agent has no descriptor more than before"):
        wait_for(lambda: descriptors(node) <= open_before,
                 f"{descriptors(node)} descriptors to be {open_before}", 10)


def programs():
    return {one["id"] for one in json.loads(run("bpftool", "-j", "prog").stdout)}


def ends(lab):
    ids = {number for node in lab.nodes for number in node.attached().values()}
    with claim("SIGTERM ends an agent; the programs stay on their links"):
        for node in lab.nodes:
            before = node.attached()
            node.stop()
            equal(node.attached(), before)
    with claim("when the nodes and their bpffs are gone, so are the programs"):
        assert ids, "no programs"
        for node in lab.nodes:
            run("umount", node.bpffs)
            node.remove()
        lab.net.remove()
        wait_for(lambda: not ids & programs(), f"programs {ids & programs()} to end")


def main():
    lib_lab.begin()
    lab = lib_lab.Lab("vxlan")
    pods = [lab.pod(lab.a, "a1"), lab.pod(lab.a, "a2"), lab.pod(lab.b, "b1")]
    pods_come_and_go(lab)
    table(lab, pods)
    with claim("no event was lost"):
        equal([node.status()["events_lost"] for node in lab.nodes], [0, 0])
    ends(lab)
    lib_lab.finish(CLAIMS)


main()
