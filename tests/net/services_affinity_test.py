#!/usr/bin/env -S python3 -B
"""sessionAffinity: ClientIP holds while agents are killed and started again, and is switched off and
on while connections live: for pods, the node and clients outside, with socket hooks and without."""

import signal
import socket

import lib_lab
import lib_net
import lib_services
from lib_lab import claim, equal
from lib_net import FAMILY, wait_for
from lib_services import Caller, Servers, ask, both, met, service, slices, tcp, vip

CLAIMS = 14
NODE_PORT = 30080
STICKY = {"sessionAffinity": "ClientIP",
          "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1000}}}


class Bench:
    """Four backends, two on each node: a client that does not stay with one meets more of them, but
    once in 10^13 times. Who calls: (name, place, address of the Service by family, port)."""

    def __init__(self, hooks):
        self.lab = lab = lib_services.lab(hooks)
        self.backends = [lab.pod(node, name) for node, name in (
            (lab.a, "a1"), (lab.a, "a2"), (lab.b, "b1"), (lab.b, "b2"))]
        self.servers = Servers()
        for pod in self.backends:
            self.servers.add(pod.pod, pod, 8080)
        self.servers.start()
        clients = [Caller("a pod", lab.pod(lab.a, "c1"), lab.a), Caller("the node", lab.a, lab.a)]
        virtual = {family: vip(family, 1) for family in FAMILY}
        self.callers = [(client.name, client, virtual, 80) for client in clients]
        self.callers.append(("outside", lab.net, lab.a.address, NODE_PORT))
        self.text = lib_services.HOOKS[hooks]
        self.write(**STICKY)
        lib_services.wait_to_serve(clients, [1])

    def write(self, **spec):
        service(self.lab, "stay", 1, self.backends, type="NodePort",
                ports=both(nodePort=NODE_PORT), **spec)

    def each(self):
        for name, place, address, port in self.callers:
            for family in FAMILY:
                yield f"IPv{family} from {name}", place, family, address[family], port

    def met(self):
        """Whom each client meets, by connections and by datagrams: always the same one."""
        found = {}
        for what, place, family, address, port in self.each():
            found[what, "TCP"] = met(place, family, address, port, 12)
            found[what, "UDP"] = {asked(place, family, address, port) for _ in range(12)}
        assert all(len(names) == 1 for names in found.values()), found
        return {key: names.pop() for key, names in found.items()}

    def ids(self):
        told = lib_services.told(self.lab.a, "stay")
        return {(port["name"], port["family"]): port["id"] for port in told["ports"]}

    def end(self):
        self.lab.end()


def asked(place, family, address, port):
    with lib_net.make(place, family, socket.SOCK_DGRAM) as sock:
        return ask(sock, (address, port))[0]


def kills(bench):
    lab = bench.lab
    with claim(f"{bench.text}: every client stays with its backend"):
        chosen = bench.met()
    ids = bench.ids()
    with claim(f"{bench.text}: also while the agents are dead"):
        for node in lab.nodes:
            node.stop(signal.SIGKILL)
        equal(bench.met(), chosen)
    with claim(f"{bench.text}: and with the next ones, whatever Services came meanwhile"):
        service(lab, "aaa", 2, bench.backends, **STICKY)
        for node in lab.nodes:
            node.start()
            assert node.status()["adopted"]
        lib_services.wait_to_serve([bench.callers[0][1]], [2])
        equal(bench.ids(), ids)
        equal(bench.met(), chosen)


def switches(bench):
    held = [(what, tcp(place, family, address, port))
            for what, place, family, address, port in bench.each()]
    for _, sock in held:
        assert sock.recv(100)
    with claim(f"{bench.text}: switched off, clients meet all backends"):
        bench.write()
        everyone = {pod.pod for pod in bench.backends}
        for what, place, family, address, port in bench.each():
            wait_for(lambda p=place, f=family, a=address, n=port: met(p, f, a, n, 60) == everyone,
                     f"{what} to meet all")
    with claim(f"{bench.text}: switched on again, each stays with one"):
        bench.write(**STICKY)
        for what, place, family, address, port in bench.each():
            wait_for(lambda p=place, f=family, a=address, n=port: len(met(p, f, a, n)) == 1,
                     f"{what} to stay")
        chosen = bench.met()
        equal(bench.met(), chosen)
    with claim(f"{bench.text}: a backend that leaves is given up for one other"):
        left = chosen["IPv4 from a pod", "TCP"]
        others = [pod for pod in bench.backends if pod.pod != left]
        slices(bench.lab, "stay", others)
        for what, place, family, address, port in bench.each():
            wait_for(lambda p=place, f=family, a=address, n=port: left not in met(p, f, a, n, 4),
                     f"{what} to leave it")
        moved = bench.met()
        equal(bench.met(), moved)
        equal({key: name for key, name in moved.items() if chosen[key] != left},
              {key: name for key, name in chosen.items() if name != left}, "the others' backends")
    with claim(f"{bench.text}: connections from before have lived through it"):
        for what, sock in held:
            sock.sendall(b"still there?")
            equal(sock.recv(100), b"still there?", what)


def main():
    lib_lab.begin()
    for hooks in (True, False):
        bench = Bench(hooks)
        kills(bench)
        switches(bench)
        bench.end()
    lib_lab.finish(CLAIMS)


main()
