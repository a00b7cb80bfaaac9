#!/usr/bin/env -S python3 -B
"""What the kernel itself drops after Weir has sent a packet on: a pod's link is down, a queue is full,
no neighbour answers, a socket's buffer is full. Each is counted with the kernel's reason and the pod's
name, in both families, shown by monitor, status and metrics; Weir's own drops are counted once; where
nothing is lost, nothing is counted (docs/decisions/0052-what-the-kernel-drops.md)."""

import contextlib
import re
import signal
import socket
from pathlib import Path

import lib_lab
import lib_net
from lib_lab import BIN, Lab, Pod, claim, equal
from lib_net import run, wait_for

CLAIMS = 2 * (2 * 7 + 1) + 8
NOBODY = {4: "172.30.0.99", 6: "fd00:30::99"}  # on the nodes' link
LIMITED = {"bandwidth": {"ingressRate": 1_000_000, "ingressBurst": 80_000,
                         "egressRate": 1_000_000, "egressBurst": 80_000}}
BURST = 400
SILENT = {4: "NEIGH_FAILED", 6: "NOT_SPECIFIED"}  # the kernel's ndisc_error_report() says no more


def totals(node):
    """Of the kernel's drops: reason -> packets."""
    hook = next(one for one in node.status()["hooks"] if one["hook"] == "kernel")
    return {drop["reason"]: drop["packets"] for drop in hook["drops"]}


def of_pod(node, pod):
    """The kernel's drops of one pod: reason -> packets."""
    hook = next(one for one in node.status()["hooks"] if one["hook"] == "kernel")
    return {drop["reason"]: one["packets"] for drop in hook["drops"] for one in drop["pods"]
            if one["pod"] == pod.key}


def metrics(node):
    """(name, labels) -> value."""
    text = lib_net.http_get(node.run_dir / "agent.sock", "/metrics")
    return {(name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels))): float(value)
            for name, labels, value in re.findall(r"^(\w+)\{(.*)\} (\S+)$", text, re.M)}


def weir(node, *words):
    return run(BIN / "weir", *words, "--socket", node.run_dir / "agent.sock").stdout


def flows(node, reason, **ends):
    """Drops by the kernel for that reason; ends: pod (source, destination) or an address."""
    def is_it(flow):
        return flow["drop_reason"]["name"] == reason and all(
            wanted in (f"{flow[end].get('namespace')}/{flow[end].get('pod')}", flow[end]["address"])
            for end, wanted in ends.items())
    return [flow for flow in node.flows("last=10000&reason=KERNEL") if is_it(flow)]


def send(client, family, target, count=1, length=20, sockets=1):
    for _ in range(sockets):
        with lib_net.datagrams(client, family) as sock:
            for _ in range(count):
                with contextlib.suppress(OSError):  # ENOBUFS, errors that came by ICMP
                    sock.sendto(bytes(length), (target, 9))


def shown(node, pod, family, reason, send_some, **ends):
    """Whoever asks is told, while the traffic goes on."""
    before, seen = of_pod(node, pod).get(reason, 0), len(flows(node, reason, **ends))

    def counted():
        send_some()
        return of_pod(node, pod).get(reason, 0) > before
    try:
        wait_for(counted, f"{reason} of {pod.key}", 10)
    except AssertionError as error:
        error.add_note(f"{node.status()['hooks']} {flows_text(node)[-5:]}")
        raise
    wait_for(lambda: len(flows(node, reason, **ends)) > seen, f"a flow: {reason} {ends}")
    flow = flows(node, reason, **ends)[-1]
    equal((flow["hook"], flow["verdict"], ":" in flow["source"]["address"]),
          ("kernel", "dropped", family == 6), "the flow")


# --- the faults ----------------------------------------------------------------------------------

def link_down(lab, family, pods):
    a1, _, b1 = pods
    with claim(f"IPv{family}: the pod's link is down: packets from its node, and from another"):
        for client in (a1, b1):
            down = Pod(lab, lab.a, f"down{family}{client.pod}").add()
            down.ip("link", "set", "eth0", "down")
            shown(lab.a, down, family, "NOT_SPECIFIED",
                  lambda client=client, down=down: send(client, family, down.address[family]),
                  source=client.key, destination=down.key)
            down.delete()


def full_queue(lab, family, pods, limited):
    a1, a2, b1 = pods
    for name, client in (("its node", a1), ("another", b1)):
        with claim(f"IPv{family}: the queue to a limited pod is full, from {name}"):
            shown(lab.a, limited, family, "QDISC_DROP",
                  lambda client=client: send(client, family, limited.address[family], BURST, 1200),
                  source=client.key, destination=limited.key)
    with claim(f"IPv{family}: the queue from a limited pod is full"):
        shown(lab.a, limited, family, "QDISC_DROP",
              lambda: send(limited, family, a2.address[family], BURST, 1200),
              source=limited.key, destination=a2.key)


def no_neighbour(lab, family, pods):
    a1 = pods[0]
    with claim(f"IPv{family}: nobody has the address outside, and the pod is named, not its node"):
        shown(lab.a, a1, family, SILENT[family],
              lambda: send(a1, family, NOBODY[family], 5),
              source=a1.key, destination=NOBODY[family])


def full_buffer(lab, family, pods):
    a1, a2, _ = pods
    with claim(f"IPv{family}: the buffer of a pod's socket is full"):
        with lib_net.make(a2, family, socket.SOCK_DGRAM) as slow:
            slow.bind((a2.address[family], 9))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            shown(lab.a, a2, family, "SOCKET_RCVBUFF",
                  lambda: send(a1, family, a2.address[family], 100, 1000),
                  source=a1.key, destination=a2.key)


def other_node_is_silent(lab, tunnel, family, pods):
    """Its link is cut: for the way there a neighbour is asked in vain; by tunnel, in IPv4."""
    a1, _, b1 = pods
    with claim(f"IPv{family}: no neighbour on the way to another node's pod"):
        lab.net.ip("link", "set", "vb", "down")
        try:
            for one in (4, 6):
                lab.a.ip(f"-{one}", "neigh", "flush", "dev", "eth0")
            reason = SILENT[4 if tunnel == "vxlan" else family]
            shown(lab.a, a1, family, reason,
                  lambda: send(a1, family, b1.address[family], 5),
                  source=a1.key, destination=b1.key)
        finally:
            lab.net.ip("link", "set", "vb", "up")
        wait_for(lambda: reaches(a1, b1, family), "the way there again")


# --- what is no loss -----------------------------------------------------------------------------

def reaches(client, server, family):
    with lib_net.datagrams(server, family, server.address[family], timeout=0.3) as there, \
            lib_net.datagrams(client, family) as sock:
        with contextlib.suppress(OSError):
            sock.sendto(b"here", there.getsockname()[:2])
            return there.recv(10) == b"here"
    return False


def stream(client, server, family, target):
    with lib_net.listener(server, family, target) as listener:
        one = lib_net.connected(client, family, listener.getsockname())
        other, _ = listener.accept()
    with one, other:
        for _ in range(64):
            one.sendall(bytes(1 << 14))
            left = 1 << 14
            while left:
                left -= len(other.recv(left))


def refused(client, family, target):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with lib_net.make(client, family, kind) as sock, \
                contextlib.suppress(ConnectionRefusedError):
            sock.connect((target, 9))
            sock.send(b"anyone?")
            sock.recv(100)
            raise AssertionError("it was not refused")


def reset(client, server, family):
    """The server ends with data unread, the client goes on."""
    with lib_net.listener(server, family, server.address[family]) as listener:
        one = lib_net.connected(client, family, listener.getsockname())
        other, _ = listener.accept()
    with one:
        one.sendall(b"unread")
        other.close()
        with contextlib.suppress(OSError):
            for _ in range(3):
                one.sendall(b"late")


def calm(lab, pods):
    a1, a2, b1 = pods
    with claim("ordinary traffic, closed ports, resets, pods that come and go: nothing is counted"):
        for family in (4, 6):
            outside = lib_lab.WORLD[family]
            for server in (a2, b1):
                for _ in range(5):
                    stream(a1, server, family, server.address[family])
                    reset(a1, server, family)
                refused(a1, family, server.address[family])
            stream(a1, lab.net, family, outside)
            stream(lab.a, a1, family, a1.address[family])
            refused(lab.a, family, a1.address[family])
            refused(a1, family, outside)
        for turn in range(5):
            for client in (a1, b1):
                short = Pod(lab, lab.a, f"short{turn}{client.pod}").add()
                for family in (4, 6):
                    stream(client, short, family, short.address[family])
                wait_for(lambda ends=(short, client): all(map(nothing_under_way, ends)),
                         "connections to end")
                short.delete()
                short.remove()
        equal((totals(lab.a), totals(lab.b)), ({}, {}), [flows_text(node) for node in lab.nodes])


def nothing_under_way(pod):
    """Its connections have ended; of both ends: the last packets to them have arrived, and neither sends
    its last again."""
    over = {"06", "0A"}  # TIME_WAIT, LISTEN
    with pod.inside():
        lines = [line.split() for name in ("tcp", "tcp6") for line in
                 Path("/proc/thread-self/net", name).read_text().splitlines()[1:]]
    return all(words[3] in over for words in lines)


def flows_text(node):
    return [(flow["drop_reason"]["name"], flow["source"], flow["destination"], flow["protocol"])
            for flow in node.flows("last=10000&reason=KERNEL")]


def once(lab, pods):
    a1, a2, _ = pods
    with claim("what Weir drops is Weir's drop alone"):
        before, spoofed = totals(lab.a), lab.a.drops("from_pod", "SPOOFED")
        a1.ip("addr", "add", "10.9.9.9/32", "dev", "lo")
        with lib_net.datagrams(a1, 4, "10.9.9.9") as sock:
            for _ in range(10):
                sock.sendto(b"forged", (a2.address[4], 9))
        a1.ip("addr", "del", "10.9.9.9/32", "dev", "lo")
        equal(lab.a.drops("from_pod", "SPOOFED"), spoofed + 10, "SPOOFED")
        equal(totals(lab.a), before, "the kernel's")


# --- where it is told ----------------------------------------------------------------------------

def told(lab, pods, limited):
    a1 = pods[0]
    with claim("weir status has the reason, what it means, and the pods"):
        text = weir(lab.a, "status")
        line = next(line for line in text.splitlines() if "NEIGH_FAILED" in line)
        assert "kernel" in line and "next hop" in line and f"{a1.key} " in line, line
        line = next(line for line in text.splitlines() if "QDISC_DROP" in line)
        assert "queue" in line and f"{limited.key} " in line, line
    with claim("weir monitor has the packet, the reason and the pod"):
        lines = weir(lab.a, "monitor", "--last", "10000", "--reason", "KERNEL").splitlines()
        assert any(a1.key in line and "NEIGH_FAILED, at kernel" in line for line in lines), lines
    with claim("metrics have reason and pod, and add up"):
        found, status = metrics(lab.a), totals(lab.a)
        for reason, packets in status.items():
            key = frozenset({("hook", "kernel"), ("reason", reason)})
            equal(found["weir_drops_total", key], packets, reason)
        for reason, packets in of_pod(lab.a, a1).items():
            key = frozenset({("namespace", "lab"), ("pod", a1.pod), ("reason", reason)})
            equal(found["weir_pod_kernel_drops_total", key], packets, reason)
    with claim("a pod that is gone is counted among all, and has no series of its own"):
        equal([key for key in found if ("pod", f"down4{a1.pod}") in key[1]], [])
        equal(bool(status["NOT_SPECIFIED"]), True)
    with claim("another node's agent on the same machine has none of it"):
        equal(totals(lab.b), {}, flows_text(lab.b))


def agent_away(lab, pods, limited):
    a1 = pods[0]
    with claim("while the agent is away all is counted, and the next one tells it"):
        before = of_pod(lab.a, limited)["QDISC_DROP"]
        lab.a.stop(signal.SIGKILL)
        send(a1, 4, limited.address[4], BURST, 1200)
        lab.a.launch(*lab.arguments)
        wait_for(lab.a.serves, "the agent")
        assert of_pod(lab.a, limited)["QDISC_DROP"] > before
        equal(lab.a.status()["adopted"], True)


def switched_off(lab, pods, limited):
    with claim("switched off: no program, no tables, no counts; and on again"):
        for off, wanted in (("false", []), ("true", ["kernel_drop", "weir_kdrop",
                                                     "weir_kdrop_pod"])):
            lab.a.stop()
            lab.a.launch(*lab.arguments, "--kernel-drops", off)
            wait_for(lab.a.serves, "the agent")
            equal([name for name in ("kernel_drop", "weir_kdrop", "weir_kdrop_pod")
                   if any(pin.endswith(f"/{name}") for pin in lab.a.pins())], wanted)
            send(pods[0], 4, limited.address[4], BURST, 1200)
        wait_for(lambda: totals(lab.a).get("QDISC_DROP"), "a count")


def play(tunnel):
    lab = Lab(tunnel)
    print(f"--- tunnel {tunnel}", flush=True)
    pods = lab.pod(lab.a, "a1"), lab.pod(lab.a, "a2"), lab.pod(lab.b, "b1")
    calm(lab, pods)
    limited = Pod(lab, lab.a, "limited", runtime=LIMITED).add()
    for family in (4, 6):
        link_down(lab, family, pods)
        full_queue(lab, family, pods, limited)
        no_neighbour(lab, family, pods)
        full_buffer(lab, family, pods)
    if tunnel == "vxlan":
        once(lab, pods)
        told(lab, pods, limited)
        agent_away(lab, pods, limited)
        switched_off(lab, pods, limited)
    for family in (4, 6):
        other_node_is_silent(lab, tunnel, family, pods)
    lab.end()


def main():
    lib_lab.begin()
    for tunnel in ("vxlan", "none"):
        play(tunnel)
    lib_lab.finish(CLAIMS)


main()
