#!/usr/bin/env -S python3 -B
"""Services from the sockets of pods and of the node, with the socket hooks and without them: the same
outcome by both ways. What only the hooks can do, and what becomes of it when agents die."""

import contextlib
import errno
import json
import signal
import socket
import struct
import time
import types

import lib_lab
import lib_net
import lib_services
from lib_lab import claim, equal
from lib_net import FAMILY, PATIENCE, wait_for
from lib_services import Caller, Servers, ask, name_of, service, slices, tcp, vip

CLAIMS = 72
SO_ORIGINAL_DST = 80
NODE_PORT = 30080
AT_ONCE = 1.0


def refused(call):
    """The call's errno, and that it came at once."""
    begun = time.monotonic()
    try:
        call()
    except OSError as error:
        assert time.monotonic() - begun < AT_ONCE, "it took its time"
        return error.errno
    return 0


def original_dst(sock, family):
    level, size = (socket.IPPROTO_IP, 16) if family == 4 else (socket.IPPROTO_IPV6, 28)
    data = sock.getsockopt(level, SO_ORIGINAL_DST, size)
    port, = struct.unpack("!H", data[2:4])
    address = data[4:8] if family == 4 else data[8:24]
    return socket.inet_ntop(FAMILY[family], address), port


# --- the same by both ways -----------------------------------------------------------------------

class Bench:
    """A lab with backends b (other node), a2 (same node), callers a1 and node a."""

    def __init__(self, hooks):
        self.hooks = hooks
        self.lab = lib_services.lab(hooks)
        lab = self.lab
        self.a1, self.a2, self.b1 = (lab.pod(lab.a, "a1"), lab.pod(lab.a, "a2"),
                                     lab.pod(lab.b, "b1"))
        self.servers = Servers()
        for pod in (self.a2, self.b1):
            self.servers.add(pod.pod, pod, 8080)
        self.servers.start()
        self.pod = Caller("a pod", self.a1, lab.a)
        self.host = Caller("the node", lab.a, lab.a)
        self.callers = (self.pod, self.host)
        self.text = lib_services.HOOKS[hooks]

    def services(self):
        lab = self.lab
        service(lab, "both", 1, [self.a2, self.b1])
        service(lab, "one", 2, [self.b1])
        service(lab, "twin", 3, [self.b1])
        service(lab, "none", 4, [])
        service(lab, "stay", 5, [self.a2, self.b1], sessionAffinity="ClientIP",
                sessionAffinityConfig={"clientIP": {"timeoutSeconds": 1000}})
        service(lab, "near", 6, [self.a2])
        service(lab, "port", 7, [self.b1], type="NodePort", ports=[
            {"name": "tcp", "protocol": "TCP", "port": 80, "targetPort": 8080,
             "nodePort": NODE_PORT}])
        for caller in self.callers:
            for family in FAMILY:
                wait_for(lambda f=family, c=caller: self.serves(c, f), "the Services to be there")

    @staticmethod
    def serves(caller, family):
        with contextlib.suppress(OSError):
            return all(name_of(tcp(caller, family, vip(family, number), timeout=0.5)) in
                       ("a2", "b1") for number in (1, 2, 3, 5, 6, 7))
        return False

    def each(self):
        for caller in self.callers:
            for family in FAMILY:
                yield caller, family, f"IPv{family} from {caller.name} {self.text}"


def streams(bench):
    for caller, family, what in bench.each():
        with claim(f"{what}: connect reaches all backends, and getpeername is the Service"):
            met = set()
            for _ in range(24):
                with tcp(caller, family, vip(family, 1)) as sock:
                    met.add(name_of(sock))
                    equal(sock.getpeername()[:2], (vip(family, 1), 80))
            equal(met, {"a2", "b1"})
        with claim(f"{what}: no endpoints is ECONNREFUSED at once"):
            equal(refused(lambda c=caller, f=family: tcp(c, f, vip(f, 4))), errno.ECONNREFUSED)
        with claim(f"{what}: another port of a ClusterIP is ECONNREFUSED at once"):
            equal(refused(lambda c=caller, f=family: tcp(c, f, vip(f, 1), 81)),
                  errno.ECONNREFUSED)
        with claim(f"{what}: a NodePort of this node"):
            target = bench.lab.a.address[family]
            with tcp(caller, family, target, NODE_PORT) as sock:
                equal((name_of(sock), sock.getpeername()[:2]), ("b1", (target, NODE_PORT)))
        with claim(f"{what}: a bound source port whose tuple to the backend is taken"):
            source = (caller.address[family], 21000)
            with tcp(caller, family, bench.b1.address[family], 8080, source) as direct, \
                    tcp(caller, family, vip(family, 2), source=source) as second:
                equal((name_of(direct), name_of(second)), ("b1", "b1"))
                with tcp(caller, family, vip(family, 3), source=source) as third:
                    equal(name_of(third), "b1")


def mapped(bench):
    for caller in bench.callers:
        with claim(f"IPv4 by an IPv6 socket of {caller.name} {bench.text}"):
            with tcp(caller, 4, f"::ffff:{vip(4, 2)}", socket_family=6) as sock:
                equal((name_of(sock), sock.getpeername()[:2]),
                      ("b1", (f"::ffff:{vip(4, 2)}", 80)))
            with lib_net.make(caller, 6, socket.SOCK_DGRAM) as sock:
                target = (f"::ffff:{vip(4, 2)}", 80)
                equal(ask(sock, target), ("b1", target))


def datagrams(bench):
    for caller, family, what in bench.each():
        target = (vip(family, 2), 80)
        with claim(f"{what}: an unconnected datagram socket is answered by the Service"), \
                lib_net.make(caller, family, socket.SOCK_DGRAM) as sock:
            equal(ask(sock, target), ("b1", target))
            twin = (vip(family, 3), 80)
            equal(ask(sock, twin), ("b1", twin), "the same backend by another Service")
            equal(ask(sock, target), ("b1", target), "and the first again")
        with claim(f"{what}: a connected one, too"), \
                lib_net.make(caller, family, socket.SOCK_DGRAM) as sock:
            sock.connect(target)
            equal((ask(sock), sock.getpeername()[:2]), (("b1", target), target))
        with claim(f"{what}: datagram flows keep their backend"):
            for _ in range(6):
                with lib_net.make(caller, family, socket.SOCK_DGRAM) as sock:
                    met = {ask(sock, (vip(family, 1), 80))[0] for _ in range(8)}
                    equal(len(met), 1, str(met))


def moves(bench):
    lab = bench.lab
    for family in FAMILY:
        target = (vip(family, 6), 80)
        with claim(f"IPv{family} {bench.text}: datagram flows move when their backend leaves"), \
                lib_net.make(bench.pod, family, socket.SOCK_DGRAM) as free, \
                lib_net.make(bench.pod, family, socket.SOCK_DGRAM) as bound:
            slices(lab, "near", [bench.a2])
            bound.connect(target)
            wait_for(lambda f=free, t=target: ask(f, t)[0] == "a2", "the first backend")
            wait_for(lambda b=bound: ask(b)[0] == "a2", "the first backend")
            slices(lab, "near", [bench.b1])
            for sock, to in ((free, target), (bound, None)):
                wait_for(lambda s=sock, t=to: ask(s, t) == ("b1", target), "the other", 2)


def connections(node, name):
    """Now, by the backends of all ports."""
    text = lib_net.http_get(node.run_dir / "agent.sock", f"/v1/services?service=lab/{name}")
    return sum(backend["connections"] for line in text.splitlines() if line
               for port in json.loads(line)["ports"] for backend in port["backends"])


def told(bench):
    """By packet or at the socket: whoever looks sees the Service."""
    node = bench.lab.a
    for caller, family, what in bench.each():
        with claim(f"{what}: a connection counts for its Service, and names it"):
            before = connections(node, "one")
            with tcp(caller, family, vip(family, 2)) as stream, \
                 lib_net.make(caller, family, socket.SOCK_DGRAM) as datagrams:
                equal((name_of(stream), ask(datagrams, (vip(family, 2), 80))[0]), ("b1", "b1"))
                wait_for(lambda b=before: connections(node, "one") == b + 2, "both to be counted")
                for sock, protocol in ((stream, "TCP"), (datagrams, "UDP")):
                    port = sock.getsockname()[1]
                    flow = wait_for(lambda p=port, k=protocol: next((
                        flow for flow in node.flows("service=lab/one")
                        if flow["protocol"] == k and flow["source"].get("port") == p), None),
                        f"the flow of port {port}")
                    equal((flow["service"]["name"], flow["service"]["port"]),
                          ("one", protocol.lower()))
            wait_for(lambda b=before: connections(node, "one") <= b + 1, "that by TCP to have ended")


def told_of_itself(bench):
    """The node as client and backend: by the loopback link."""
    lab, node = bench.lab, bench.lab.a
    service(lab, "own", 21, [types.SimpleNamespace(address=node.address, node=node, pod="own")])
    bench.servers.add("own", node, 8080)
    for family in FAMILY:
        with claim(f"IPv{family} from the node to itself {bench.text}: it counts as well"):
            wait_for(lambda f=family: refused(lambda: tcp(bench.host, f, vip(f, 21))) == 0,
                     "the Service")
            wait_for(lambda: connections(node, "own") == 0, "that connection to have ended")
            with tcp(bench.host, family, vip(family, 21)) as stream:
                equal(name_of(stream), "own")
                wait_for(lambda: connections(node, "own") == 1, "it to be counted")


def affinity(bench):
    for caller, family, what in bench.each():
        with claim(f"{what}: a client stays with its backend, however it comes"):
            met = set()
            for number in range(8):
                with tcp(caller, family, vip(family, 5)) as sock:
                    met.add(name_of(sock))
                source = (caller.address[family], 22000 + number)
                with tcp(caller, family, vip(family, 5), source=source) as sock:
                    met.add(name_of(sock))
                with lib_net.make(caller, family, socket.SOCK_DGRAM) as sock:
                    ask(sock, (vip(family, 5), 80))
            equal(len(met), 1, str(met))


# --- what only the hooks do ----------------------------------------------------------------------

def hooks_only(bench):
    node = bench.lab.a
    for caller, family, what in bench.each():
        with claim(f"{what}: SO_ORIGINAL_DST is the Service"):
            with tcp(caller, family, vip(family, 2)) as sock:
                equal(original_dst(sock, family), (vip(family, 2), 80))
        with claim(f"{what}: a refused call is told with its Service"):
            refused(lambda c=caller, f=family: tcp(c, f, vip(f, 4)))
            flow = wait_for(lambda f=family, caller=caller: next(
                (flow for flow in reversed(node.flows("last=100")) if flow["hook"] == "socket" and
                 flow["destination"]["address"] == vip(f, 4) and
                 flow["source"]["address"] == caller.address[f]), None), "the flow")
            equal((flow["type"], flow["drop_reason"]["name"]), ("dropped", "SERVICE_NO_BACKEND"))
            equal(flow["service"]["name"], "none")
    with claim("a NodePort in use cannot be bound on the node, another one can"):
        for family in FAMILY:
            equal(refused(lambda f=family: lib_net.listener(bench.host, f, "::" if f == 6 else
                                                            "0.0.0.0", NODE_PORT)),
                  errno.EADDRINUSE)
            lib_net.listener(bench.host, family, "::" if family == 6 else "0.0.0.0",
                             NODE_PORT + family).close()
    with claim("calls are counted under the hook socket"):
        totals = next(one for one in node.status()["hooks"] if one["hook"] == "socket")
        assert totals["forwarded"] > 20, totals
        equal(totals["packets_in"], totals["forwarded"] +
              sum(drop["packets"] for drop in totals["drops"]))


def restarts(bench):
    node = bench.lab.a
    held = {family: tcp(bench.pod, family, vip(family, 2)) for family in FAMILY}
    with claim("an agent's death: the hooks go on, and the next agent adopts them"):
        before = sorted(pin for pin in node.pins() if "links/sock_" in pin)
        assert before, "nothing is attached"
        node.stop(signal.SIGKILL)
        for caller, family, _ in bench.each():
            with tcp(caller, family, vip(family, 1)) as sock:
                equal(sock.getpeername()[:2], (vip(family, 1), 80))
        node.start()
        assert node.status()["adopted"]
        equal(sorted(pin for pin in node.pins() if "links/sock_" in pin), before)
    with claim("connections from before know their Service"):
        for family, sock in held.items():
            equal(sock.getpeername()[:2], (vip(family, 2), 80))
    with claim("switched off the hooks are gone, and the packet path serves"):
        node.stop()
        node.start(*bench.lab.arguments, "--socket-services", "false")
        equal([pin for pin in node.pins() if "sock_" in pin], [])
        for caller, family, _ in bench.each():
            with tcp(caller, family, vip(family, 2)) as sock:
                equal((name_of(sock), sock.getpeername()[:2]), ("b1", (vip(family, 2), 80)))
    with claim("and on again they are back"):
        node.stop()
        node.start()
        assert [pin for pin in node.pins() if "links/sock_" in pin]
        with tcp(bench.pod, 4, vip(4, 2)) as sock:
            equal(original_dst(sock, 4), (vip(4, 2), 80))


def backend_gone(bench):
    lab = bench.lab
    doomed = lab.pod(lab.b, "doomed")
    bench.servers.add("doomed", doomed, 8080)
    service(lab, "doom", 20, [doomed])
    for caller, family, what in bench.each():
        wait_for(lambda c=caller, f=family: refused(lambda: tcp(c, f, vip(f, 20))) == 0,
                 "the Service")
    idle = [(what, tcp(caller, family, vip(family, 20))) for caller, family, what in bench.each()]
    for _, sock in idle:
        equal(name_of(sock), "doomed")
    with claim("a backend that merely left its Service keeps its connections"):
        slices(lab, "doom", [])
        for caller, family, _ in bench.each():
            wait_for(lambda c=caller, f=family: refused(lambda: tcp(c, f, vip(f, 20))) ==
                     errno.ECONNREFUSED, "the Service to have none")
        for _, sock in idle:
            sock.setblocking(False)
            equal(refused(lambda s=sock: s.recv(1)), errno.EAGAIN)
    lab.forget_pod(doomed)
    gone = time.monotonic()
    for what, sock in idle:
        with claim(f"{what}: an idle connection ends when the backend's pod is gone"):
            sock.settimeout(PATIENCE)
            equal(refused(lambda s=sock: s.recv(1)), errno.ECONNABORTED)
            assert time.monotonic() - gone < AT_ONCE, time.monotonic() - gone


def main():
    lib_lab.begin()
    for hooks in (True, False):
        bench = Bench(hooks)
        bench.services()
        streams(bench)
        mapped(bench)
        datagrams(bench)
        moves(bench)
        affinity(bench)
        told(bench)
        told_of_itself(bench)
        if hooks:
            hooks_only(bench)
            backend_gone(bench)
            restarts(bench)
        bench.lab.end()
    lib_lab.finish(CLAIMS)


main()
