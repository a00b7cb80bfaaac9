#!/usr/bin/env -S python3 -B
"""A node dies: its links fall silent. Once the cluster says that it, or the pod on it, is gone, TCP
connections to it through a Service end within a second of being used: from a pod, from the node, from
outside, by hooks and by packets. This bound is a semantic that is asked for, not a matter of speed."""

import contextlib
import errno
import socket
import time

import lib_lab
import lib_services
from lib_lab import claim, equal
from lib_net import FAMILY, wait_for
from lib_services import Caller, Servers, both, name_of, service, slices, tcp, vip, who

CLAIMS = 2 * 2 * 4
WITHIN_S = 1.0
NODE_PORT, DIRECT_PORT = 30080, 30081


class Bench:
    def __init__(self, hooks, what, node_too):
        self.lab = lab = lib_services.lab(hooks)
        self.text = f"{lib_services.HOOKS[hooks]}, {what}"
        self.near, self.far = lab.pod(lab.a, "near"), lab.pod(lab.b, "far")
        self.servers = Servers()
        for pod in (self.near, self.far):
            self.servers.add(pod.pod, pod, 8080)
        self.servers.start()
        self.callers = [Caller("a pod", lab.pod(lab.a, "c"), lab.a), Caller("the node", lab.a, lab.a)]
        service(lab, "web", 1, [self.far], both(nodePort=NODE_PORT), type="NodePort")
        service(lab, "direct", 2, [self.far], both(nodePort=DIRECT_PORT), type="NodePort",
                annotations={"weir.dev/forwarding": "dsr"})
        lib_services.wait_to_serve(self.callers, [1, 2])
        # Of a connection that it has handed over, node a knows the other node only.
        self.held = {f"IPv{family} from {name}": self.connect(place, family, *to)
                     for name, place, family, to in self.ways() if node_too or "DSR" not in name}

    def ways(self):
        for family in FAMILY:
            for caller in self.callers:
                yield caller.name, caller, family, (vip(family, 1), 80)
            address = self.lab.a.address[family]
            yield "outside", self.lab.net, family, (address, NODE_PORT)
            yield "outside, DSR", self.lab.net, family, (address, DIRECT_PORT)

    @staticmethod
    def connect(place, family, address, port):
        sock = tcp(place, family, address, port)
        equal(name_of(sock), "far")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        return sock

    def die(self):
        """The machine: nothing of it answers any more."""
        self.lab.b.stop()
        self.lab.net.ip("link", "set", "vb", "down")

    def forget_node(self):
        (self.lab.objects / "Node" / "_" / "b.json").unlink()

    def move(self):
        for name in ("web", "direct"):
            slices(self.lab, name, [self.near])

    def ended(self):
        """What has ended, of those that still speak."""
        gone = {}
        for what, sock in self.held.items():
            with contextlib.suppress(BlockingIOError):
                try:
                    sock.send(b"?")
                    sock.recv(100)
                except OSError as error:
                    if isinstance(error, BlockingIOError):
                        raise
                    gone[what] = error.errno
        return gone

    def end(self):
        for sock in self.held.values():
            sock.close()
        self.lab.end()


def play(hooks, what, forget):
    bench = Bench(hooks, what, forget is Bench.forget_node)
    bench.die()
    with claim(f"{bench.text}: silence alone ends nothing"):
        equal(bench.ended(), {})
    told_at = time.monotonic()
    forget(bench)
    bench.move()
    found = {}

    def all_ended():
        for name, error in bench.ended().items():
            found.setdefault(name, (error, time.monotonic() - told_at))
        return len(found) == len(bench.held)
    with claim(f"{bench.text}: every connection to it ends"):
        wait_for(all_ended, "all of them to end")
    with claim(f"{bench.text}: by a RST, within a second"):
        equal({name: errno.errorcode[error] for name, (error, _) in found.items()
               if error not in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)}, {})
        late = {name: after for name, (_, after) in found.items() if after > WITHIN_S}
        equal(late, {})
    with claim(f"{bench.text}: new ones reach the other backend"):
        for name, place, family, to in bench.ways():
            wait_for(lambda p=place, f=family, t=to: who(p, f, *t) == "near", f"IPv{family} {name}")
    bench.end()


def main():
    lib_lab.begin()
    for hooks in (True, False):
        play(hooks, "its node is gone", Bench.forget_node)
        play(hooks, "its pod is gone", lambda bench: bench.lab.forget_pod(bench.far))
    lib_lab.finish(CLAIMS)


main()
