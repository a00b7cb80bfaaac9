#!/usr/bin/env -S python3 -B
"""Services by XDP: clients outside, a node in between, the backend on another node. On a veth link
XDP needs a program at the other end and complete checksums, as on a cable; without, TC does it all."""

import os
import signal
import sys
from pathlib import Path

import lib_lab
import lib_net
import lib_traffic
from lib_lab import claim, equal
from lib_net import wait_for

BUILD = Path(os.environ.get("WEIR_BUILD", lib_lab.BIN.parent))
PROGRAM = BUILD / "tests" / "harness" / "xdp_pass.bpf.o"
NODE_PORT, PORT = 30090, 8080
BULK = 4 << 20
FAMILIES = (4, 6)
WAYS = (("vxlan", False), ("none", False), ("vxlan", True))
CLAIMS_PER_WAY = 7


def write_service(lab, pod):
    ports = [{"name": kind.lower(), "protocol": kind, "port": 80, "targetPort": PORT,
              "nodePort": NODE_PORT} for kind in ("TCP", "UDP")]
    addresses = ["10.96.0.1", "fd00:96::1"]
    lab.write("Service", "lab", "far", {"spec": {
        "type": "NodePort", "clusterIP": addresses[0], "clusterIPs": addresses, "ports": ports,
        "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack",
        "selector": {"app": "far"}}})
    for family in FAMILIES:
        name = f"far-{family}"
        lab.write("EndpointSlice", "lab", name, {
            "apiVersion": "discovery.k8s.io/v1", "addressType": f"IPv{family}",
            "metadata": {"name": name, "namespace": "lab",
                         "labels": {"kubernetes.io/service-name": "far"}},
            "ports": [{"name": port["name"], "protocol": port["protocol"], "port": PORT}
                      for port in ports],
            "endpoints": [{"addresses": [pod.address[family]], "nodeName": pod.node.node,
                           "conditions": {"ready": True, "serving": True, "terminating": False},
                           "targetRef": {"kind": "Pod", "namespace": "lab", "name": pod.pod}}]})


class Servers(lib_traffic.Traffic):
    """Echo in the pod, and steady clients outside when asked for."""

    def __init__(self, lab, pod):
        self.clients, self.children, self.lab = {}, [], lab
        for family in FAMILIES:
            tcp = lib_net.listener(pod, family, pod.address[family], PORT)
            udp = lib_net.datagrams(pod, family, pod.address[family], PORT)
            self.start(lib_traffic.Server(tcp, udp))
            tcp.close()
            udp.close()

    def go(self):
        for family in FAMILIES:
            target = self.target(family)
            self.clients[family] = self.start(
                lib_traffic.Client(self.lab.net, family, target, target)), target

    def target(self, family):
        return self.lab.a.address[family], NODE_PORT


def state(node):
    return next(one["xdp"] for one in node.status()["devices"] if one["role"] == "uplink")


def totals(node):
    return next(one for one in node.status()["hooks"] if one["hook"] == "xdp")


def echo(lab, servers, family, size):
    """All bytes come back as they were."""
    data = os.urandom(1 << 16) * (size >> 16) or os.urandom(size)
    with lib_net.connected(lab.net, family, servers.target(family)) as sock:
        sock.settimeout(lib_net.PATIENCE)
        got = bytearray()
        for start in range(0, len(data), 1 << 16):
            part = data[start:start + (1 << 16)]
            sock.sendall(part)
            while len(got) < start + len(part):
                more = sock.recv(1 << 16)
                assert more, f"the stream ended after {len(got)} bytes"
                got += more
    assert bytes(got) == data, "other bytes came back"


def like_a_cable(lab, node):
    """Both ends of the node's link."""
    port = f"v{node.node}"
    pin = node.bpffs / "xdp_pass"
    lib_net.run("bpftool", "prog", "load", PROGRAM, pin, "type", "xdp")
    for place, link in ((node, "eth0"), (lab.net, port)):
        lib_net.run("nsenter", f"--net={place.path}", "ethtool", "-K", link, "tx", "off")
    lab.net.ip("link", "set", "dev", port, "xdpdrv", "pinned", str(pin))


def play(tunnel, dsr):
    title = f"{tunnel}{', DSR' if dsr else ''}:"
    arguments = ("--xdp", "true", "--dsr", str(dsr).lower())
    lab = lib_lab.Lab(tunnel, arguments)
    far = lab.pod(lab.b, "far")
    write_service(lab, far)
    servers = Servers(lab, far)

    with claim(f"{title} a veth link with nothing at its other end is left to TC"):
        wait_for(lambda: served(lab, servers), "the NodePort to be served")
        for node in lab.nodes:
            assert "other end has no XDP program" in state(node), state(node)
        for family in FAMILIES:
            echo(lab, servers, family, BULK >> 4)
        equal(totals(lab.a)["packets_in"], 0)

    for node in lab.nodes:
        like_a_cable(lab, node)
    with claim(f"{title} it is taken as soon as it can be"):
        for node in lab.nodes:
            wait_for(lambda node=node: state(node) == "native", f"XDP on {node.node}")
        assert "xdp" in lab.a.links()["eth0"]

    servers.go()
    with claim(f"{title} bytes are what they were"):
        for family in FAMILIES:
            before = totals(lab.a)["packets_in"]
            echo(lab, servers, family, BULK)
            passed = totals(lab.a)["packets_in"] - before
            assert passed > BULK / 1500, f"{passed} packets by XDP"

    with claim(f"{title} the program outlives its agent"):
        lab.a.stop(signal.SIGKILL)
        for family in FAMILIES:
            echo(lab, servers, family, BULK >> 4)
        before = totals(lab.a.start())["packets_in"]
        equal(state(lab.a), "native")
        for family in FAMILIES:
            echo(lab, servers, family, BULK >> 4)
        assert totals(lab.a)["packets_in"] > before, "no packet by XDP"

    with claim(f"{title} nothing is lost, refused or reset"):
        for family in FAMILIES:
            wait_for(lambda family=family: servers.ask(family)["rounds"] > 100, "more traffic")
            seen = servers.ask(family, b"end")
            equal((seen["errors"], seen["udp_lost"]), ([], 0), f"IPv{family}")
            assert seen["udp_sent"] > 500 and seen["opened"] > 20, seen

    with claim(f"{title} what came in by XDP went out"):
        for node in lab.nodes:
            seen = totals(node)
            equal((seen["packets_in"], seen["to_stack"], seen["drops"]),
                  (seen["forwarded"], 0, []), node.node)

    with claim(f"{title} switched off, it is gone, and TC goes on"):
        lab.a.stop()
        lab.a.start(*lab.arguments, "--xdp", "false")
        equal(state(lab.a), "")
        assert "xdp" not in lab.a.links()["eth0"]
        for family in FAMILIES:
            echo(lab, servers, family, BULK >> 4)
    for pid, _ in servers.children:
        servers.kill(pid)
    lab.end()


def served(lab, servers):
    try:
        for family in FAMILIES:
            echo(lab, servers, family, 100)
        return True
    except OSError:
        return False


def main():
    lib_lab.begin()
    if not PROGRAM.exists():
        print(f"skipped: {PROGRAM} is not built")
        sys.exit(lib_lab.SKIP)
    for tunnel, dsr in WAYS:
        play(tunnel, dsr)
    lib_lab.finish(CLAIMS_PER_WAY * len(WAYS))


if __name__ == "__main__":
    main()
