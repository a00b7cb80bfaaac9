#!/usr/bin/env -S python3 -B
"""Backends of weights 70 and 30 get these shares of the connections within 2 percentage points, from
pods by the hooks and by packets, and from outside."""

import collections
import contextlib
import socket

import lib_lab
import lib_net
import lib_services
from lib_lab import claim, equal
from lib_net import FAMILY, wait_for
from lib_services import Caller, Servers, both, service, vip

CLAIMS = 12
NODE_PORT = 30080
WEIGHTS = {"heavy": 70, "light": 30}
NEAR = 0.02
# By chance a share of n is off by 2 points with n = 13,000 once in a million and a half times.
CONNECTIONS = 13_000
TOGETHER = 100


def datagram_names(caller, family, target, first_port=40_000):
    """Who answers one datagram from each of CONNECTIONS source ports."""
    names = collections.Counter()
    with caller.inside():
        for first in range(first_port, first_port + CONNECTIONS, TOGETHER):
            made = [socket.socket(FAMILY[family], socket.SOCK_DGRAM) for _ in range(TOGETHER)]
            for port, sock in enumerate(made, first):
                sock.bind(("", port))
                sock.settimeout(lib_net.PATIENCE)
                sock.sendto(b"?", target)
            for sock in made:
                with sock:
                    data, peer = sock.recvfrom(100)
                    equal(peer[:2], target, "the sender")
                    names[data.decode()] += 1
    return names


def stream_names(caller, family, target):
    names = collections.Counter()
    with caller.inside():
        for _ in range(0, CONNECTIONS, TOGETHER):
            made = [socket.socket(FAMILY[family], socket.SOCK_STREAM) for _ in range(TOGETHER)]
            for sock in made:
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(target)
            for sock in made:
                with sock:
                    sock.settimeout(lib_net.PATIENCE)
                    names[sock.recv(100).decode()] += 1
    return names


def shares_are(names, heavy):
    equal(names.total(), CONNECTIONS)
    found = names["heavy"] / CONNECTIONS
    print(f"      heavy {100 * found:.2f} %", flush=True)
    assert abs(found - heavy) <= NEAR, names


def weights_told(node):
    told = lib_services.told(node, "web")["ports"]
    by_port = [sorted(backend["weight"] for backend in port["backends"]) for port in told]
    return by_port[0] if len(by_port) == 4 and by_port == by_port[:1] * 4 else None


def annotate(lab, pod, weight):
    pod.annotations["weir.dev/weight"] = weight
    lab.write_pod(pod)


def play(hooks):
    # Room for both halves of all connections.
    lab = lib_services.lab(hooks, ("--ct-max", "262144"))
    backends = [lab.pod(node, name, {"weir.dev/weight": str(WEIGHTS[name])})
                for node, name in ((lab.a, "heavy"), (lab.b, "light"))]
    caller = Caller("a pod", lab.pod(lab.a, "c1"), lab.a)
    servers = Servers()
    for pod in backends:
        servers.add(pod.pod, pod, 8080)
    servers.fork()
    service(lab, "web", 1, backends, type="NodePort", ports=both(nodePort=NODE_PORT))
    lib_services.wait_to_serve([caller], [1])
    wait_for(lambda: weights_told(lab.a) == [30, 70], "the weights")
    for family in FAMILY:
        target = (vip(family, 1), 80)
        ways = [(f"UDP from a pod {lib_services.HOOKS[hooks]}", datagram_names, caller, target),
                (f"TCP from a pod {lib_services.HOOKS[hooks]}", stream_names, caller, target)]
        if not hooks:
            ways.append(("UDP from outside", datagram_names, lab.net,
                         (lab.a.address[family], NODE_PORT)))
        for what, count, where, to in ways:
            with claim(f"IPv{family}, {what}: 70 to 30"):
                shares_are(count(where, family, to), 0.7)
    if not hooks:
        changes(lab, backends, caller)
    lab.end()


def changes(lab, backends, caller):
    heavy, light = backends
    with claim("an annotation that changes moves the shares"):
        annotate(lab, heavy, "10")
        wait_for(lambda: weights_told(lab.a) == [10, 30], "the weight")
        shares_are(datagram_names(caller, 4, (vip(4, 1), 80), 20_000), 0.25)
    with claim("wrong weights are told of by name, and count as 1"):
        for count, wrong in enumerate(("0", "257", "much", "-1"), 1):
            annotate(lab, light, wrong)
            wait_for(lambda: weights_told(lab.a) == [1, 10], f"weight {wrong} to be 1")
            equal(lab.a.log.read_text().count(
                'Pod lab/light: metadata.annotations.weir.dev/weight: must be "1" to "256"; '
                '1 is taken'), count)
            annotate(lab, light, "30")
            wait_for(lambda: weights_told(lab.a) == [10, 30], "the right one")


def main():
    lib_lab.begin()
    for hooks in (True, False):
        play(hooks)
    lib_lab.finish(CLAIMS)


main()
