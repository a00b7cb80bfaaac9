#!/usr/bin/env -S python3 -B
"""Capabilities of the plugin besides bandwidth: ports of the node that the runtime asks for, as long as
no Pod object is known, whose hostPorts are then what counts; addresses that it asks for. And
destinations that pods speak to with their own addresses. All in both families."""

import contextlib
import signal
import socket

import lib_lab
import lib_net
from lib_lab import GATEWAY, WORLD, claim, equal
from lib_net import wait_for

CLAIMS = 26
SECOND_WORLD = {4: "192.0.2.2", 6: "2001:db8::2"}
PORT, BOUND_PORT = 8080, 8081
MAPPINGS = [{"HostPort": PORT, "ContainerPort": 80, "Protocol": kind, "HostIP": ""}
            for kind in ("tcp", "udp")]
PAUSE = 0.3


class Server:
    """On port 80 of a pod; of both protocols and families."""

    def __init__(self, pod):
        self.listeners = {f: lib_net.listener(pod, f, pod.address[f], 80) for f in (4, 6)}
        self.sockets = {f: lib_net.datagrams(pod, f, pod.address[f], 80, PAUSE) for f in (4, 6)}

    def accepts(self, client, family, target):
        """Whom the server sees, by TCP; None: nobody came."""
        sock = lib_net.make(client, family, socket.SOCK_STREAM, timeout=PAUSE)
        with contextlib.closing(sock):
            try:
                sock.connect(target)
            except OSError:
                return None
            served, peer = self.listeners[family].accept()
            served.close()
            return peer[0]

    def hears(self, client, family, target):
        """The same by UDP; the answer must come from whom the client has addressed."""
        with contextlib.closing(lib_net.datagrams(client, family, timeout=PAUSE)) as sock:
            sock.connect(target)
            try:
                sock.send(b"?")
                data, peer = self.sockets[family].recvfrom(100)
                self.sockets[family].sendto(data, peer)
                equal(sock.recv(100), b"?")
            except OSError:
                return None
            return peer[0]


def served(server, lab, node, port=PORT):
    """{(client, family, protocol)} that reach the server by the node's port."""
    found = set()
    for name, client in (("outside", lab.net), ("node", node)):
        for family in (4, 6):
            target = (node.address[family], port)
            found |= {(name, family, kind) for kind, ask in (("tcp", server.accepts),
                                                             ("udp", server.hears))
                      if ask(client, family, target)}
    return found


EVERYBODY = {(name, family, kind) for name in ("outside", "node") for family in (4, 6)
             for kind in ("tcp", "udp")}


def port_mappings(lab):
    node = lab.a
    bound = {"hostPort": BOUND_PORT, "containerPort": 80, "hostIP": node.address[4]}
    pod = lib_lab.Pod(lab, node, "mapped", runtime={"portMappings": [*MAPPINGS, bound]}).attach()
    server = Server(pod)
    with claim("ports: served as soon as ADD returns, to everybody, by TCP and UDP"):
        equal(served(server, lab, node), EVERYBODY)
    with claim("ports: one of a single address is there alone, of its protocol"):
        equal(served(server, lab, node, BOUND_PORT), {("outside", 4, "tcp"), ("node", 4, "tcp")})
    with claim("ports: an agent that was killed serves them again"):
        node.stop(signal.SIGKILL)
        node.start()
        equal(served(server, lab, node), EVERYBODY)
        equal(node.status()["warnings"], [])
    with claim("ports: the Pod object has none, and that counts"):
        lab.write_pod(pod)
        wait_for(lambda: not served(server, lab, node), "the ports to be gone")
    with claim("ports: the Pod object has one, and that counts"):
        lab.write_pod(pod, [{"containerPort": 80, "hostPort": 9090, "protocol": "TCP"}])
        tcp = {one for one in EVERYBODY if one[2] == "tcp"}
        wait_for(lambda: served(server, lab, node, 9090) == tcp, "the object's port")
        equal(served(server, lab, node), set())
    with claim("ports: without the object the runtime's are back"):
        lab.forget_pod(pod)
        wait_for(lambda: served(server, lab, node) == EVERYBODY, "the runtime's ports")
        equal(served(server, lab, node, 9090), set())
    with claim("ports: none are left when DEL returns"):
        pod.cni("DEL")
        equal(served(server, lab, node), set())
        equal(node.map("weir_service"), {})


def refused(pod, says):
    status, answer = pod.cni("ADD", code=None)
    assert status != 0 and says in answer["msg"], answer
    equal(list(pod.links()), ["lo"])


def addresses(lab):
    node = lab.a
    v4, v6 = "10.244.0.79", "fd00:244::4f"
    for name, asked in (("v4", ["10.244.0.77/24"]), ("v6", ["fd00:244::4d/64"]),
                        ("both", [v4, v6])):
        pod = lib_lab.Pod(lab, node, f"asks-{name}", runtime={"ips": asked})
        with claim(f"ips: {name} is what the pod gets"):
            pod.attach()
            for address in asked:
                bare = address.split("/")[0]
                equal(pod.address[6 if ":" in bare else 4], bare)
            equal(len(pod.address), 2)
        with claim(f"ips: {name} again is the same, another address an error"):
            before = pod.address
            equal(pod.attach().address, before)
            pod.runtime = {"ips": ["10.244.0.78"]}
            status, answer = pod.cni("ADD", code=None)
            assert status != 0 and "other addresses" in answer["msg"], answer
        if name == "both":
            with claim("ips: what a pod has, no other gets"):
                refused(lib_lab.Pod(lab, node, "late", runtime={"ips": [v4]}),
                        f"{v4} belongs to asks-both/eth0")
        pod.cni("DEL")
    with claim("ips: what was freed lately is not given at once"):
        refused(lib_lab.Pod(lab, node, "early", runtime={"ips": [v6]}), "was freed less than")
    for wrong in ("10.244.1.5", "fd00:244:0:1::5", WORLD[4], "10.244.0.255", "10.244.0.1"):
        with claim(f"ips: {wrong} is not one of the node's"):
            refused(lib_lab.Pod(lab, node, "stray", runtime={"ips": [wrong]}), "not an address that")


def own_address(lab):
    pod = lab.pod(lab.a, "speaks")
    for family, cidr in zip((4, 6), lab.a.ranges):
        version = ["-6"] if family == 6 else []
        lab.net.ip(*version, "route", "add", cidr, "via", lab.a.address[family])
        lab.net.ip("addr", "add", SECOND_WORLD[family], "dev", "lo")
    for family in (4, 6):
        for where, sees in ((SECOND_WORLD, pod.address), (WORLD, lab.a.address),
                            (GATEWAY, lab.a.address)):
            with claim(f"masquerade: {where[family]} sees {sees[family]}"):
                with contextlib.closing(lib_net.listener(lab.net, family, where[family])) as door:
                    target = door.getsockname()[:2]
                    with contextlib.closing(lib_net.connected(pod, family, target)) as sock:
                        served_by, peer = door.accept()
                        served_by.sendall(b"hello")
                        served_by.close()
                        equal((sock.recv(5), peer[0]), (b"hello", sees[family]))


def main():
    lib_lab.begin()
    lab = lib_lab.Lab("vxlan", [word for family in (4, 6)
                                for word in ("--non-masquerade-cidr", SECOND_WORLD[family])])
    own_address(lab)
    port_mappings(lab)
    addresses(lab)
    lib_lab.finish(CLAIMS)


main()
