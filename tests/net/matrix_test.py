#!/usr/bin/env -S python3 -B
"""Who can talk to whom: placement × family × tunnel × protocol × size, each a line. The server sees
the true source: the pod's address inside the cluster, the node's outside it. In clusters of both
families and of one."""

import dataclasses
import hashlib
import os
import socket
import tempfile
import threading

import lib_lab
import lib_local
import lib_net
from lib_lab import WORLD, claim, equal
from lib_net import DONT_FRAGMENT, MAY_FRAGMENT

BULK = os.urandom(1 << 20) * 4
FRAGMENTED, LARGEST = 8000, 65507
LOOPBACK = 65536
HEADER = {4: 20, 6: 40}
PODS = {"a1": (0, False), "a2": (0, False), "b1": (1, False), "host-a": (0, True),
        "host-b": (1, True)}


@dataclasses.dataclass
class Placement:
    """client and server are namespaces; source and target have an address per family."""
    name: str
    client: object
    server: object
    source: dict
    target: dict
    mtu: int


def placements(lab, tunnel, families):
    """Every way that packets can take. The MTU is that of the way from client to server."""
    a, b, net = lab.a, lab.b, lab.net
    a1, a2, b1, host_a, host_b = (lab.pods[name] for name in PODS)
    headers = (70 if families == "ipv6" else 50) if tunnel == "vxlan" else 0
    overlay = 1500 - headers

    def between(name, client, server, source=None, target=None, mtu=overlay):
        return Placement(name, client, server, source or client.address, target or server.address,
                         mtu)

    return [
        between("pod to pod on its node", a1, a2),
        between("pod to pod on another node", a1, b1),
        between("pod to a pod, backwards", b1, a1),
        between("pod to its own host", a1, a),
        between("host to its own pod", a, a1),
        between("pod to another node's host", a1, b),
        between("host to another node's pod", b, a1),
        between("host to another host", a, b, mtu=1500),
        between("pod to outside, masqueraded", a1, net, source=a.address, target=WORLD),
        between("pod to outside on its link, masqueraded", b1, net, source=b.address,
                target=lib_lab.GATEWAY),
        between("host to outside", a, net, target=WORLD, mtu=1500),
        between("outside to host", net, b, source=lib_lab.GATEWAY, mtu=1500),
        between("hostNetwork pod to a pod on its node", host_a, a1),
        between("hostNetwork pod to a pod on another node", host_b, a1),
        between("pod to a hostNetwork pod on its node", a1, host_a),
        between("pod to a hostNetwork pod on another node", a1, host_b),
        between("pod to itself", a1, a1, mtu=LOOPBACK),
    ]


# --- cells ---------------------------------------------------------------------------------------

def tcp_pair(place, family):
    """A connection: the client's end, the server's end."""
    listener = lib_net.listener(place.server, family, place.target[family])
    with listener:
        client = lib_net.connected(place.client, family, listener.getsockname())
        server, peer = listener.accept()
    server.settimeout(lib_net.PATIENCE)
    equal(peer[0], place.source[family], "source")
    return client, server


def tcp_small(place, family):
    client, server = tcp_pair(place, family)
    with client, server:
        for asker, other in ((client, server), (server, client)):
            asker.sendall(b"small")
            equal(other.recv(100), b"small")
        client.shutdown(socket.SHUT_WR)
        equal(server.recv(100), b"", "end")


def received_hash(sock):
    digest = hashlib.sha256()
    size = 0
    while size < len(BULK):
        part = sock.recv(1 << 20)
        if not part:
            break
        size += len(part)
        digest.update(part)
    return size, digest.hexdigest()


def tcp_bulk(place, family):
    """Both ways, one after the other, by hash."""
    wanted = len(BULK), hashlib.sha256(BULK).hexdigest()
    client, server = tcp_pair(place, family)
    with client, server:
        for sender, receiver in ((client, server), (server, client)):
            thread = threading.Thread(target=sender.sendall, args=(BULK,))
            thread.start()
            found = received_hash(receiver)
            thread.join(lib_net.PATIENCE)
            equal(found, wanted)


def udp_pair(place, family, how):
    server = lib_net.datagrams(place.server, family, place.target[family])
    client = lib_net.datagrams(place.client, family)
    for one in (client, server):
        lib_net.mtu_discover(one, family, how)
    client.connect(server.getsockname()[:2])
    return client, server


def udp_exchange(place, family, size, how):
    payload = os.urandom(size)
    client, server = udp_pair(place, family, how)
    with client, server:
        client.send(payload)
        data, peer = server.recvfrom(65536)
        equal(peer[0], place.source[family], "source")
        assert data == payload, f"{len(data)} bytes came of {size}, or others"
        server.sendto(data, peer)
        assert client.recv(65536) == payload, "the answer differs"


def udp_small(place, family):
    udp_exchange(place, family, 5, DONT_FRAGMENT)


def udp_full(place, family):
    udp_exchange(place, family, place.mtu - HEADER[family] - 8, DONT_FRAGMENT)


def udp_fragmented(place, family):
    udp_exchange(place, family, FRAGMENTED, MAY_FRAGMENT)


def udp_largest(place, family):
    udp_exchange(place, family, LARGEST, MAY_FRAGMENT)


def ping(place, family, size):
    """An echo request of that many bytes behind the ICMP header; the server sees its source."""
    identifier, payload = os.getpid() & 0xffff, os.urandom(size)
    server, client = (lib_net.icmp_socket(where, family) for where in (place.server, place.client))
    with server, client:
        lib_net.mtu_discover(client, family, DONT_FRAGMENT)
        client.sendto(lib_net.echo_request(family, identifier, payload), (place.target[family], 0))
        _, peer = lib_net.next_icmp(server, family, lambda kind, _, __, data: (kind, data) == (
            lib_net.ECHO[family], payload), "the request")
        equal(peer, place.source[family], "source")
        _, peer = lib_net.next_icmp(client, family, lambda kind, _, number, data: (
            kind, number, data) == (lib_net.ECHO_REPLY[family], identifier, payload), "the reply")
        equal(peer, place.target[family], "who answers")


def icmp_small(place, family):
    ping(place, family, 56)


def icmp_full(place, family):
    ping(place, family, place.mtu - HEADER[family] - 8)


def icmp_too_long(place, family):
    """One byte over the MTU, not to be fragmented: the sender's own stack says so."""
    with lib_net.icmp_socket(place.client, family) as client:
        lib_net.mtu_discover(client, family, DONT_FRAGMENT)
        request = lib_net.echo_request(family, 1, bytes(place.mtu + 1 - HEADER[family] - 8))
        try:
            client.sendto(request, (place.target[family], 0))
        except OSError as error:
            equal(error.errno, 90, "EMSGSIZE")
        else:
            raise AssertionError("it was sent")


CELLS = [
    ("TCP small", tcp_small, True),
    ("TCP 4 MiB both ways", tcp_bulk, True),
    ("UDP small", udp_small, True),
    ("UDP of exactly the MTU", udp_full, False),
    (f"UDP {FRAGMENTED} bytes in fragments", udp_fragmented, True),
    (f"UDP {LARGEST} bytes in fragments", udp_largest, True),
    ("ICMP small", icmp_small, True),
    ("ICMP of exactly the MTU", icmp_full, False),
    ("ICMP one byte over the MTU fails locally", icmp_too_long, False),
]  # name, cell, has a meaning on loopback
PLACEMENTS, ON_LOOPBACK = 17, sum(loopback for _, _, loopback in CELLS)
WANTED = (PLACEMENTS - 1) * len(CELLS) + ON_LOOPBACK  # of a family
FAMILIES = {"dual": (4, 6), "ipv4": (4,), "ipv6": (6,)}


def make_cluster(tunnel, families, folder):
    """As users make it; without `weir`, by agents and plugin alone, of both families."""
    if (lib_lab.BIN / "weir").exists():
        return lib_local.Cluster(tunnel, PODS, folder, families)
    lab = lib_lab.Lab(tunnel)
    lab.pods = {name: lab.nodes[node] if on_host else lab.pod(lab.nodes[node], name)
                for name, (node, on_host) in PODS.items()}
    return lab


def play(tunnel, families, folder):
    lab = make_cluster(tunnel, families, folder)
    for place in placements(lab, tunnel, families):
        for family in FAMILIES[families]:
            for name, cell, on_loopback in CELLS:
                if place.mtu == LOOPBACK and not on_loopback:
                    continue
                with claim(f"{tunnel} {families} IPv{family}: {place.name}: {name}"):
                    cell(place, family)
    with claim(f"{tunnel} {families}: nothing was dropped"):
        for node in lab.nodes:
            for hook in node.status()["hooks"]:
                bad = [drop for drop in hook["drops"] if drop["reason"] != "LINK_MULTICAST"]
                equal(bad, [], f"{node.node} {hook['hook']}")
    lab.end()


def main():
    lib_lab.begin()
    scratch = os.environ.get("WEIR_TMP")
    plays = [(tunnel, families) for tunnel in ("vxlan", "none") for families in FAMILIES]
    with tempfile.TemporaryDirectory(prefix="weirlab.", dir=scratch) as folder:
        for tunnel, families in plays:
            play(tunnel, families, folder)
    lib_lab.finish(sum(len(FAMILIES[families]) * WANTED + 1 for _, families in plays))


main()
