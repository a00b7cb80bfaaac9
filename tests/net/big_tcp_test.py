#!/usr/bin/env -S python3 -B
"""BIG TCP: pods' links take packets as large as the smallest of the node's links does. On one node and
between two, to a Service and masqueraded; taken back under a running stream; never with VXLAN."""

import contextlib
import hashlib
import os
import re
import socket
import threading

import lib_lab
import lib_net
import lib_services
from lib_lab import claim, equal
from lib_net import FAMILY, PATIENCE, wait_for

LEGACY, BIG = 65536, 196608
HEADERS = 200  # of a packet, at most
SIZE = 24 << 20
SEGMENT = 1448
CLAIMS = 19


class Sniffer(threading.Thread):
    """The largest packet that a place's link has, either way."""

    def __init__(self, place, link="eth0"):
        super().__init__(daemon=True)
        with place.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((link, 3))
        self.socket.settimeout(0.1)
        self.largest, self.ended = 0, False
        self.start()

    def run(self):
        while not self.ended:
            with contextlib.suppress(TimeoutError):
                size = self.socket.recv_into(bytearray(1), 1, socket.MSG_TRUNC)
                self.largest = max(self.largest, size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended = True
        self.join(PATIENCE)
        self.socket.close()


class Stream:
    """Bytes one way, until end(); cubic, which does not pace. address, port: the server's own, if it
    is addressed by others: `to`."""

    def __init__(self, client, server, family, to=None, address=None, port=0):
        with lib_net.listener(server, family, address or server.address[family],
                              port) as listening:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
            self.near = lib_net.make(client, family, socket.SOCK_STREAM)
            self.near.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
            self.near.connect(to or listening.getsockname()[:2])
            self.far, _ = listening.accept()
        self.far.settimeout(PATIENCE)
        self.block = os.urandom(1 << 20)
        self.sent, self.got = hashlib.sha256(), hashlib.sha256()
        self.bytes, self.wanted = 0, None
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self.send, self.take)]

    def send(self):
        sent = 0
        while self.wanted is None or sent < self.wanted:
            self.near.sendall(self.block)
            self.sent.update(self.block)
            sent += len(self.block)
        self.near.shutdown(socket.SHUT_WR)

    def take(self):
        while part := self.far.recv(1 << 20):
            self.got.update(part)
            self.bytes += len(part)

    def start(self, size=None):
        self.wanted = size
        for thread in self.threads:
            thread.start()
        return self

    def end(self, stop=False):
        if stop:
            self.wanted = 0
        for thread in self.threads:
            thread.join(PATIENCE)
        self.near.close()
        self.far.close()
        equal(self.got.digest(), self.sent.digest(), "what came")


def set_limit(lab, nodes, size):
    """Of the nodes' uplinks, and of the switch between them."""
    for node in nodes:
        lib_net.set_gso_size(node.path, "eth0", size)
        lib_net.set_gso_size(lab.net.path, f"v{node.node}", size)


def sizes(pod):
    """Of both ends of a pod's link. Debian's `ip` does not show IPv4's, which streams do."""
    host = next(one["interface"] for one in pod.node.get("/v1/endpoints")
                if one["pod"] == pod.pod)
    return {place.json("-d", "link", "show", link)[0]["gso_max_size"]
            for place, link in ((pod, "eth0"), (pod.node, host))}


def limit_is(node, size, text=""):
    def there():
        status = node.status()
        return status["gso_max_size"] == size and text in status["gso_limit"]

    wait_for(there, f"{node.node} to have {size} bytes ({text}); it says "
             f"{node.status()['gso_max_size']}, {node.status()['gso_limit']!r}")


def packets_in(node, hook):
    return next(one["packets_in"] for one in node.status()["hooks"] if one["hook"] == hook)


def arrives(client, server, family, big=True, **way):
    with Sniffer(client) as sniffer:
        Stream(client, server, family, **way).start(SIZE).end()
    if big:
        assert sniffer.largest > LEGACY + HEADERS, f"largest {sniffer.largest}"
    else:
        assert LEGACY // 2 < sniffer.largest <= LEGACY + HEADERS, f"largest {sniffer.largest}"


def raised(lab, pods):
    with claim("as links are by themselves, there is none; the link that forbids it is named"):
        for node in lab.nodes:
            limit_is(node, LEGACY, "eth0 takes packets of 65536 bytes, its driver would take")
        equal(sizes(pods["a1"]), {LEGACY})
    with claim("uplinks that take more: pods that there are get it within seconds"):
        set_limit(lab, lab.nodes, BIG)
        for node in lab.nodes:
            limit_is(node, BIG)
        for pod in pods.values():
            equal(sizes(pod), {BIG}, pod.pod)
    with claim("a new pod has it from the start"):
        equal(sizes(lab.pod(lab.a, "later")), {BIG})


def large_packets(lab, pods):
    lib_services.service(lab, "web", 7, [pods["b1"]])
    for family in FAMILY:
        with claim(f"IPv{family}: on one node, counted as its segments"):
            before = packets_in(lab.a, "from_pod")
            arrives(pods["a1"], pods["a2"], family)
            counted = packets_in(lab.a, "from_pod") - before
            assert counted >= SIZE // SEGMENT, f"{counted} packets"
        with claim(f"IPv{family}: between nodes, and nothing goes to the stack to be cut up"):
            before = cut(lab.a)
            arrives(pods["a1"], pods["b1"], family)
            equal(cut(lab.a) - before, 0)
        with claim(f"IPv{family}: to a Service, translated"):
            target = (lib_services.vip(family, 7), 80)
            with lib_net.listener(pods["b1"], family, pods["b1"].address[family], 8080):
                lib_net.wait_for(lambda: reaches(pods["a1"], family, target), "the Service")
            arrives(pods["a1"], pods["b1"], family, to=target, port=8080)
        with claim(f"IPv{family}: masqueraded, to the world"):
            arrives(pods["a1"], lab.net, family, address=lib_lab.WORLD[family])


def reaches(client, family, target):
    with contextlib.suppress(OSError), lib_net.make(client, family, socket.SOCK_STREAM,
                                                    timeout=0.3) as sock:
        sock.connect(target)
        return True
    return False


def cut(node):
    """Packets that its programs have left to the stack."""
    return next(one["to_stack"] for one in node.status()["hooks"] if one["hook"] == "from_pod")


def taken_back(lab, pods):
    streams = {family: Stream(pods["a1"], pods["b1"], family).start() for family in FAMILY}
    with Sniffer(pods["a1"]) as sniffer:
        wait_for(lambda: sniffer.largest > LEGACY + HEADERS, "large packets")
    with claim("one uplink that takes no more: taken back, by its name"):
        set_limit(lab, [lab.a], LEGACY)
        limit_is(lab.a, LEGACY, "eth0 takes packets of 65536 bytes")
        equal(sizes(pods["a1"]), {LEGACY})
        equal(lab.b.status()["gso_max_size"], BIG, "the other node's")
    with claim("streams that run heed it: large packets, but none larger, and no byte is lost"):
        before = {family: one.bytes for family, one in streams.items()}
        with Sniffer(pods["a1"]) as sniffer:
            for family, one in streams.items():
                wait_for(lambda one=one, family=family: one.bytes > before[family] + SIZE,
                         f"IPv{family} to go on")
        assert LEGACY // 2 < sniffer.largest <= LEGACY + HEADERS, f"largest {sniffer.largest}"
        for one in streams.values():
            one.end(stop=True)


def switched_off(lab, pods):
    set_limit(lab, [lab.a], BIG)
    with claim("--big-tcp false takes it from pods that have it, and says so"):
        limit_is(lab.b, BIG)
        equal(sizes(pods["b1"]), {BIG})
        lab.b.stop()
        lab.b.start(*lab.arguments, "--big-tcp", "false")
        limit_is(lab.b, LEGACY, "--big-tcp is off")
        equal(sizes(pods["b1"]), {LEGACY})
        arrives(pods["b1"], pods["a1"], 4, big=False)
    with claim("the next agent without it gives it back"):
        lab.b.stop()
        lab.b.start()
        equal(lab.b.status()["gso_max_size"], BIG)
        equal(sizes(pods["b1"]), {BIG})


def tunnelled():
    lab = lib_lab.Lab()
    set_limit(lab, lab.nodes, BIG)
    near, far = lab.pod(lab.a, "v1"), lab.pod(lab.b, "v2")
    with claim("with VXLAN, whatever uplinks take, there is none"):
        lab.a.stop()
        lab.a.start()
        limit_is(lab.a, LEGACY, "weir_vxlan takes packets of 65536 bytes, its driver takes no more")
        equal(sizes(near), {LEGACY})
    for family in FAMILY:
        with claim(f"IPv{family} by VXLAN: packets of 64 KiB"):
            arrives(near, far, family, big=False)
    with claim("`weir status` says which link forbids it"):
        text = lib_net.run(lib_lab.BIN / "weir", "status", "--socket",
                           lab.a.run_dir / "agent.sock").stdout
        assert re.search(r"BIG TCP +no: weir_vxlan takes packets", text), text
    lab.end()


def main():
    lib_lab.begin()
    lab = lib_lab.Lab("none", (*lib_services.ARGUMENTS, "--socket-services", "false"))
    pods = {name: lab.pod(lab.a if name[0] == "a" else lab.b, name) for name in ("a1", "a2", "b1")}
    raised(lab, pods)
    large_packets(lab, pods)
    taken_back(lab, pods)
    switched_off(lab, pods)
    lab.end()
    tunnelled()
    lib_lab.finish(CLAIMS)


main()
