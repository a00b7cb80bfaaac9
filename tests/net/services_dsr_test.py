#!/usr/bin/env -S python3 -B
"""Direct return (weir.dev/forwarding: dsr): a client outside speaks to node a, the only backend is on
node b and answers it past node a, as the Service. Full-size packets fit into the tunnel."""

import contextlib
import errno
import itertools
import signal
import socket

import lib_lab
import lib_net
import lib_services
from lib_lab import GATEWAY, claim, equal
from lib_net import DONT_FRAGMENT, FAMILY, wait_for
from lib_services import Servers, answers, ask, both, error_of, name_of, service, tcp

CLAIMS = 28
DSR = {"weir.dev/forwarding": "dsr"}
NODE_PORT, PLAIN_PORT = 30080, 30081
BALANCER = {4: "198.51.100.50", 6: "2001:db8:100::50"}
TUNNEL_MTU, TUNNEL_PORT = 1450, 8472
HEADERS = {4: 28, 6: 48}
BULK = 3_000_000
OUTGOING = 4  # PACKET_OUTGOING
DISCOVERY = range(133, 138)  # types of ICMPv6, RFC 4861


class Tap:
    """What a node sends by its link, seen at the world's end of it."""

    def __init__(self, net, link):
        with net.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, lib_net.SO_RCVBUFFORCE, 4 << 20)
        self.sock.bind((link, 3))
        self.sock.setblocking(False)

    def sources(self, family):
        """Source addresses of all packets that have come, but for those that carry others, and but for
        neighbour discovery: nodes ask for their neighbours whenever they like."""
        found = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                data, where = self.sock.recvfrom(100)
                ours = where[2] != OUTGOING and data[0] >> 4 == family
                if family == 6 and data[6] == socket.IPPROTO_ICMPV6 and data[40] in DISCOVERY:
                    continue
                if ours and not (family == 4 and data[9] == socket.IPPROTO_UDP and
                                 int.from_bytes(data[22:24]) == TUNNEL_PORT):
                    raw = data[12:16] if family == 4 else data[8:24]
                    found.add(socket.inet_ntop(FAMILY[family], raw))
        return found


class Bench:
    def __init__(self):
        self.lab = lab = lib_services.lab()
        self.net = lab.net
        self.b1 = lab.pod(lab.b, "b1")
        self.servers = Servers()
        self.servers.add("b1", self.b1, 8080)
        self.servers.start()
        service(lab, "direct", 1, [self.b1], both(nodePort=NODE_PORT), BALANCER.values(), DSR,
                type="LoadBalancer")
        service(lab, "by-a", 2, [self.b1], both(nodePort=PLAIN_PORT), type="NodePort")
        for family, address in BALANCER.items():
            lab.net.ip(f"-{family}", "route", "add", address, "via", lab.a.address[family])
            for node, port in itertools.product((lab.b, lab.a), (NODE_PORT, PLAIN_PORT)):
                wait_for(lambda to=(node.address[family], port), f=family: answers(lab.net, f, *to),
                         "the Services")

    def ways(self):
        for family in FAMILY:
            yield f"IPv{family}, NodePort", family, (self.lab.a.address[family], NODE_PORT)
            yield f"IPv{family}, LoadBalancer", family, (BALANCER[family], 80)

    def taps(self):
        return Tap(self.net, "va"), Tap(self.net, "vb")


def datagrams(bench, family):
    return lib_net.make(bench.net, family, socket.SOCK_DGRAM)


def answers_past_a(bench):
    for what, family, target in bench.ways():
        with claim(f"{what}: TCP is answered by node b, as the Service"):
            taps = bench.taps()
            with tcp(bench.net, family, *target) as sock:
                equal(name_of(sock), "b1")
                equal(bench.servers.seen[-1], ("b1", GATEWAY[family]), "whom the backend sees")
            by_a, by_b = (tap.sources(family) for tap in taps)
            assert target[0] in by_b and target[0] not in by_a, (by_a, by_b)
        with claim(f"{what}: UDP as well"), datagrams(bench, family) as sock:
            taps = bench.taps()
            equal(ask(sock, target), ("b1", target))
            equal(bench.servers.seen[-1], ("b1", GATEWAY[family]), "whom the backend sees")
            by_a, by_b = (tap.sources(family) for tap in taps)
            assert target[0] in by_b and target[0] not in by_a, (by_a, by_b)
    for family in FAMILY:
        target = (bench.lab.a.address[family], PLAIN_PORT)
        with claim(f"IPv{family}: without the annotation, by node a"):
            taps = bench.taps()
            with tcp(bench.net, family, *target) as sock:
                equal(name_of(sock), "b1")
            by_a, by_b = (tap.sources(family) for tap in taps)
            assert target[0] in by_a and target[0] not in by_b, (by_a, by_b)


def full_size(bench):
    for what, family, target in bench.ways():
        with claim(f"{what}: 3 MB there and back"), tcp(bench.net, family, *target) as sock:
            equal(name_of(sock), "b1")
            exchange(sock, bytes(range(256)) * (BULK // 256))
        with claim(f"{what}: the sender is told what fits into the tunnel"), \
                datagrams(bench, family) as sock:
            sock.connect(target)
            lib_net.mtu_discover(sock, family, DONT_FRAGMENT)
            wait_for(lambda s=sock, f=family: told_too_big(s, 1500 - HEADERS[f]), "the ICMP error")
            equal(lib_net.path_mtu(sock, family), TUNNEL_MTU)
        with claim(f"{what}: and what fits arrives"), datagrams(bench, family) as sock:
            sock.connect(target)
            lib_net.mtu_discover(sock, family, DONT_FRAGMENT)
            echoes(sock, bytes(TUNNEL_MTU - HEADERS[family]))
        with claim(f"{what}: larger ones are sent in fragments"), datagrams(bench, family) as sock:
            sock.connect(target)
            echoes(sock, bytes(1500 - HEADERS[family]))


def told_too_big(sock, size):
    return error_of(lambda: sock.send(bytes(size))) == errno.EMSGSIZE


def exchange(sock, data):
    """Sends all of it while reading what is echoed."""
    sock.settimeout(lib_net.PATIENCE)
    sent, got = 0, bytearray()
    while len(got) < len(data):
        if sent < len(data) and sent - len(got) < 200_000:
            sent += sock.send(data[sent:sent + 100_000])
        else:
            part = sock.recv(1 << 20)
            assert part, f"ended after {len(got)} bytes"
            got += part
    assert got == data, "other bytes came back"


def echoes(sock, data):
    sock.settimeout(0.3)

    def echoed():
        sock.send(data)
        with contextlib.suppress(TimeoutError):
            return sock.recv(65536) == data
        return False
    wait_for(echoed, f"an echo of {len(data)} bytes")


def outlives(bench):
    held = [(what, tcp(bench.net, family, *target)) for what, family, target in bench.ways()]
    with claim("connections outlive both agents"):
        for _, sock in held:
            equal(name_of(sock), "b1")
        for node in bench.lab.nodes:
            node.stop(signal.SIGKILL)
            node.start()
            assert node.status()["adopted"]
        for _, sock in held:
            exchange(sock, b"again" * 1000)
    with claim("and both nodes count what they dropped: nothing"):
        for node in bench.lab.nodes:
            totals = next(one for one in node.status()["hooks"] if one["hook"] == "from_net")
            equal({drop["reason"]: drop["packets"] for drop in totals["drops"]
                   if drop["reason"] != "TOO_BIG"}, {})


def main():
    lib_lab.begin()
    bench = Bench()
    answers_past_a(bench)
    full_size(bench)
    outlives(bench)
    bench.lab.end()
    lib_lab.finish(CLAIMS)


main()
