#!/usr/bin/env -S python3 -B
"""Floods of datagrams, and of connections that nobody goes on with, each from another port, into a small
connection table: what lives goes on, the rest is dropped with a reason and a name, and afterwards all is
as before."""

import contextlib
import socket
import time

import lib_lab
import lib_net
import lib_services
from lib_lab import claim, equal
from lib_net import FAMILY, wait_for
from lib_services import Servers, answers, both, name_of, service, tcp, vip
from lib_traffic import spawn

CLAIMS = 2 * (2 * 4 + 4) + 3 * 3 + 1
NODE_PORT, QUIET_PORT = 30080, 30081
HALF_OPEN_PORT = 30082
STRANGER = {4: "192.0.2.77", 6: "2001:db8::77"}  # beyond the gateway
TABLE = 4096
FLOOD, FIRST_PORT = 20_000, 20_000
# A table that forgets what is unanswered after 30 s is full of these after 4, and not after 2 s.
STEADY, INTERVAL = 4_000, 0.002


class Bench:
    def __init__(self, hooks, *setting):
        self.lab = lab = lib_services.lab(hooks, ("--ct-max", TABLE, *setting))
        self.text = lib_services.HOOKS[hooks]
        self.client, self.flooder, self.backend = (lab.pod(node, name) for node, name in (
            (lab.a, "client"), (lab.a, "flooder"), (lab.b, "b1")))
        self.servers = Servers()
        self.servers.add("b1", self.backend, 8080)
        self.servers.start()
        self.deaf = [lib_net.datagrams(self.backend, family, self.backend.address[family], 9999)
                     for family in FAMILY]
        service(lab, "web", 1, [self.backend], both(nodePort=NODE_PORT), type="NodePort")
        service(lab, "quiet", 2, [self.backend], both(target=9999, nodePort=QUIET_PORT),
                type="NodePort")
        for node in lab.nodes:
            for family in FAMILY:
                wait_for(lambda f=family, n=node: answers(lab.net, f, n.address[f], NODE_PORT),
                         f"the Service at {node.node} by IPv{family}")
        self.live = {what: self.connect(place, family, *to) for what, place, family, to in
                     self.ways(80, NODE_PORT)}

    def ways(self, port, node_port):
        for family in FAMILY:
            yield f"IPv{family} from a pod", self.client, family, (vip(family, 1), port)
            yield f"IPv{family} from outside", self.lab.net, family, (
                self.lab.a.address[family], node_port)

    @staticmethod
    def connect(place, family, address, port):
        sock = tcp(place, family, address, port)
        equal(name_of(sock), "b1")
        return sock

    def echo(self):
        """Each live connection has its answer."""
        for what, sock in self.live.items():
            sock.sendall(b"tick")
            equal(sock.recv(100), b"tick", what)

    def end(self):
        for sock in (*self.live.values(), *self.deaf):
            sock.close()
        self.lab.end()


def flood(place, family, target, count, interval=0.0):
    """Datagrams in a process of its own: its control socket, which is closed by the end."""
    def work(_):
        with place.inside():
            for port in range(FIRST_PORT, FIRST_PORT + count):
                with socket.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
                    sock.bind(("", port))
                    with contextlib.suppress(OSError):  # the queue is full: bounded as it is
                        sock.sendto(b"?", target)
                if interval:
                    time.sleep(interval)
    return spawn(work)


def while_it_goes_on(control, act):
    """How often `act` was done before the flood was over."""
    times = 0
    control.setblocking(False)
    while True:
        act()
        times += 1
        with contextlib.suppress(BlockingIOError):
            equal(control.recv(1), b"")
            return times


def burst(bench, name, place, family, target, reason_of):
    lab, text = bench.lab, f"{bench.text}, IPv{family} from {name}"
    before = lab.a.drops(reason_of, "CT_FULL")
    _, control = flood(place, family, target, FLOOD)
    with claim(f"{text}: live connections go on through {FLOOD} datagrams"):
        assert while_it_goes_on(control, bench.echo) > 10
    with claim(f"{text}: what found no room is counted, and named"):
        wait_for(lambda: lab.a.drops(reason_of, "CT_FULL") > before, "drops")
        dropped = [flow for flow in lab.a.flows("last=20000&reason=CT_FULL&service=lab/quiet")
                   if flow["hook"] == reason_of]
        assert dropped, "no event"
        if place is bench.flooder:
            equal({flow["source"]["pod"] for flow in dropped}, {"flooder"})


def opens(bench):
    for what, place, family, to in bench.ways(80, NODE_PORT):
        wait_for(lambda p=place, f=family, t=to: answers(p, f, *t, timeout=1.0),
                 f"a new connection, {what}")


def adds_up(node):
    return all(hook["packets_in"] == hook["forwarded"] + hook["to_stack"] +
               sum(drop["packets"] for drop in hook["drops"]) for hook in node.status()["hooks"])


def play(bench):
    lab = bench.lab
    for family in FAMILY:
        burst(bench, "a pod", bench.flooder, family, (vip(family, 2), 80), "from_pod")
        burst(bench, "outside", lab.net, family, (lab.a.address[family], QUIET_PORT), "from_net")
    with claim(f"{bench.text}: then new connections find room"):
        opens(bench)
    with claim(f"{bench.text}: and while a flood goes on that would fill the table"):
        _, control = flood(bench.flooder, 4, (vip(4, 2), 80), STEADY, INTERVAL)
        before = lab.a.drops("from_pod", "CT_FULL")
        assert while_it_goes_on(control, lambda: opens(bench)) > 10
        assert lab.a.drops("from_pod", "CT_FULL") > before, "the table was never full"
    with claim(f"{bench.text}: live connections have lived through it"):
        bench.echo()
    with claim(f"{bench.text}: packets in = forwarded + to the stack + dropped"):
        for node in lab.nodes:
            wait_for(lambda n=node: adds_up(n), f"the sums of {node.node}")


# --- half-open connections -----------------------------------------------------------------------

def syn_flood(place, link, mac, source, target):
    """FLOOD of each family; what answers goes unanswered. source, target: address, port by family."""
    def work(_):
        with place.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((link, 0))
            for port in range(FIRST_PORT, FIRST_PORT + FLOOD):
                for family in FAMILY:
                    packet = lib_net.syn_packet(family, source[family], target[family][0],
                                                (port, target[family][1]))
                    with contextlib.suppress(OSError):  # the queue is full: bounded as it is
                        sock.send(lib_net.frame(family, packet, mac))
    return spawn(work)


def half_open():
    """The server answers each SYN, from a queue or by a cookie; who asked is silent."""
    bench = Bench(False)
    lab, flooder = bench.lab, bench.flooder
    listening = [lib_net.listener(bench.backend, family, bench.backend.address[family], 9998)
                 for family in FAMILY]
    service(lab, "slow", 3, [bench.backend], both(target=9998, nodePort=HALF_OPEN_PORT),
            type="NodePort")
    for family in FAMILY:
        for address in (vip(family, 3), bench.backend.address[family]):
            wait_for(lambda f=family, a=address: opened(flooder, f, a, 80 if a == vip(f, 3) else 9998),
                     f"{address} to answer")
            flooder.ip(f"-{family}", "route", "add", "blackhole", address)  # no reset gets out
    mac = bytes.fromhex(lab.a.links()["eth0"]["address"].replace(":", ""))
    for name, hook, kind, control in (
            ("a pod to a Service", "from_pod", {"service": "lab/slow"}, lambda: syn_flood(
                flooder, "eth0", lib_net.LINK_MAC, flooder.address,
                {family: (vip(family, 3), 80) for family in FAMILY})),
            ("a pod to a pod", "from_pod", {"pod": "lab/b1"}, lambda: syn_flood(
                flooder, "eth0", lib_net.LINK_MAC, flooder.address,
                {family: (bench.backend.address[family], 9998) for family in FAMILY})),
            ("outside", "from_net", {"service": "lab/slow"}, lambda: syn_flood(
                lab.net, "br0", mac, STRANGER,
                {family: (lab.a.address[family], HALF_OPEN_PORT) for family in FAMILY}))):
        text = f"half-open connections from {name}"
        before = lab.a.drops(hook, "CT_FULL")
        _, control = control()
        with claim(f"{text}: live connections go on through 2 x {FLOOD} of them"):
            assert while_it_goes_on(control, bench.echo) > 10
        with claim(f"{text}: what found no room is counted, and named"):
            wait_for(lambda h=hook, n=before: lab.a.drops(h, "CT_FULL") > n, "drops")
            query = "&".join(f"{key}={value}" for key, value in kind.items())
            dropped = [flow for flow in lab.a.flows(f"last=20000&reason=CT_FULL&{query}")
                       if flow["hook"] == hook and flow["protocol"] == "TCP"]
            assert dropped, "no event"
            if hook == "from_pod":
                equal({flow["source"]["pod"] for flow in dropped}, {"flooder"})
        with claim(f"{text}: soon they are over, and new connections find room"):
            begun = time.monotonic()
            opens(bench)
            print(f"      after {time.monotonic() - begun:.0f} s", flush=True)
            bench.echo()
    for sock in listening:
        sock.close()
    bench.end()


def opened(place, family, address, port):
    with contextlib.suppress(OSError), tcp(place, family, address, port, timeout=0.3):
        return True
    return False


def without_events():
    """A table that forgets what is unanswered after 30 s would be full for longer."""
    bench = Bench(False, "--flow-events", "false")
    with claim("without flow events: a full table is noticed, told of, and has room again"):
        _, control = flood(bench.flooder, 4, (vip(4, 2), 80), FLOOD)
        while_it_goes_on(control, bench.echo)
        assert bench.lab.a.drops("from_pod", "CT_FULL"), "the table was never full"
        begun = time.monotonic()
        opens(bench)
        wait_for(lambda: len(bench.lab.a.map("weir_ct")) < TABLE // 2, "room")
        assert time.monotonic() - begun < 15, time.monotonic() - begun
        assert "raise --ct-max" in bench.lab.a.log.read_text()
    bench.end()


def main():
    lib_lab.begin()
    for hooks in (True, False):
        bench = Bench(hooks)
        play(bench)
        bench.end()
    half_open()
    without_events()
    lib_lab.finish(CLAIMS)


main()
