#!/usr/bin/env -S python3 -B
"""Tables of pods, routes, links, fragments, addresses that are gone, and events, each made tiny or
filled: who has no room is told which table it is and which flag makes more, nothing half-made is left,
live connections go on, counters add up. Those of Services: services_limits_test.py."""

import contextlib
import errno
import os
import re
import signal
import socket
import struct

import lib_lab
import lib_net
from lib_lab import Lab, Node, Pod, claim, equal
from lib_net import FAMILY, wait_for
from lib_remains import answers, remains
from lib_traffic import Traffic, flows_on, no_loss

CLAIMS = 28
FRAGMENTS = 4096  # capacity of weir_frag, and of weir_gone
LINKS = 64        # of weir_device
KINDS = ("new", "established", "closed", "ended", "dropped")
TINY = ("--endpoint-max", 7, "--events-bytes", 4096)


def warned(node, *words):
    return any(all(word in text for word in words) for text in node.status()["warnings"])


def use(node, table):
    """Rows and capacity, as status tells."""
    return next((one["entries"], one["capacity"]) for one in node.status()["maps"]
                if one["name"] == table)


def traffic(client, *servers):
    return Traffic([(f"IPv{family} to {server.pod}", client, server, family, server.address[family])
                    for family in FAMILY for server in servers])


def refused(pod, table, flag):
    """An ADD of it fails and says why."""
    code, told = pod.cni("ADD", None)
    assert code != 0, told
    assert f"map {table} is full: raise {flag}" in told["msg"], told


def of_pods(node):
    """But for "rcu", which other nodes of the lab set, too."""
    return {kind: found for kind, found in remains(node).items() if kind != "rcu"}


def leaves_nothing(pod, node, table, flag):
    before = of_pods(node)
    for _ in range(3):
        refused(pod, table, flag)
    equal(of_pods(node), before)
    equal(sorted(pod.links()), ["lo"])


# --- pods ----------------------------------------------------------------------------------------

def pods_of_a_node(lab, a1, a2, b1):
    """Two rows each; the fourth pod has room for one."""
    node = lab.a
    spare, late = lab.pod(node, "spare"), Pod(lab, node, "late")
    running = traffic(a1, a2, b1)
    flows_on(running, "at first")
    with claim("endpoint_max: ADD says which table is full and what to raise, and leaves nothing"):
        leaves_nothing(late, node, "weir_endpoint", "--endpoint-max")
        equal(use(node, "weir_endpoint"), (6, 7))
    with claim("endpoint_max: a pod that goes makes room"):
        spare.delete()
        answers(a1, late.add())
        late.delete()
    with claim("endpoint_max: pods that are there never noticed"):
        flows_on(running, "with a full table")
        no_loss(running.end())


def pods_of_one_family(lab, a1):
    """The node itself is a row of weir_netns: here that is full before the addresses' table."""
    node = Node(lab, "c", 2)
    node.ranges = node.ranges[:1]
    lab.write("Node", "_", "c", {
        "spec": {"podCIDR": node.ranges[0], "podCIDRs": node.ranges},
        "status": {"addresses": [{"type": "InternalIP", "address": node.address[4]}]}})
    node.start("--endpoint-max", 2)
    first, second = lab.pod(node, "c1"), Pod(lab, node, "c2")
    with claim("weir_netns: ADD says which table is full and what to raise, and leaves nothing"):
        leaves_nothing(second, node, "weir_netns", "--endpoint-max")
        equal(use(node, "weir_endpoint"), (1, 2))
        answers(a1, first)
    with claim("weir_netns: a pod that goes makes room"):
        first.delete()
        answers(a1, second.add())
    node.stop()


def smaller_than_its_pods(lab, a1, a2):
    node = lab.a
    with claim("endpoint_max: smaller than its pods need, an agent starts, and tells"):
        node.stop()
        node.start("--endpoint-max", 3, *TINY[2:])
        assert warned(node, "map weir_endpoint is full: raise --endpoint-max",
                      "1 of 4 pod addresses are missing"), node.status()["warnings"]
        equal(use(node, "weir_endpoint"), (3, 3))
    with claim("endpoint_max: raised again, all of them are served"):
        node.stop(signal.SIGKILL)
        node.start(*TINY)
        equal(warned(node, "is full"), False)
        answers(a1, a2)


# --- routes and links ----------------------------------------------------------------------------

def routes(lab, a1, a2, b1):
    node = lab.a
    running = traffic(a1, a2, b1)
    flows_on(running, "at first")
    rows, _ = use(node, "weir_route")
    node.stop()
    node.start(*TINY, "--route-max", rows)
    ranges = ["10.244.7.0/24", "fd00:244:0:7::/64"]
    lab.write("Node", "_", "z", {"spec": {"podCIDR": ranges[0], "podCIDRs": ranges},
                                 "status": {"addresses": [
                                     {"type": "InternalIP", "address": "172.30.0.17"},
                                     {"type": "InternalIP", "address": "fd00:30::17"}]}})
    with claim("route_max: status says which table is full, what to raise, and which routes lack"):
        wait_for(lambda: warned(node, "map weir_route is full: raise --route-max",
                                f"4 of {rows + 4} routes are missing", ranges[0]), "a warning")
        equal(use(node, "weir_route"), (rows, rows))
    with claim("route_max: what is for pods behind a missing route does not leave the node, and is "
               "counted as the pod's"):
        stays_inside(lab, a1, {4: "10.244.7.9", 6: "fd00:244:0:7::9"})
    with claim("route_max: pods come and go all the same"):
        more = lab.pod(node, "more")
        answers(b1, more)
        more.delete()
    with claim("route_max: the next agent starts with a full table, and tells"):
        node.stop(signal.SIGKILL)
        node.start(*TINY, "--route-max", rows)
        assert warned(node, "map weir_route is full: raise --route-max"), node.status()["warnings"]
    with claim("route_max: a node that goes makes room"):
        (lab.objects / "Node" / "_" / "z.json").unlink()
        wait_for(lambda: not warned(node, "weir_route"), "no warning")
    with claim("route_max: no connection was reset"):
        flows_on(running, "with a full table")
        for name, one in running.end().items():
            equal((one["errors"], one["unanswered"]), ([], False), name)


def kernel_drops(node, pod):
    hook = next(one for one in node.status()["hooks"] if one["hook"] == "kernel")
    return sum(one["packets"] for drop in hook["drops"] for one in drop["pods"]
               if one["pod"] == pod.key)


def stays_inside(lab, pod, targets, count=5):
    """What passes the node's link is seen by its other end; the last datagram goes to the world."""
    before = kernel_drops(lab.a, pod)
    with lab.net.inside():
        seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    seen.bind(("va", 0))
    seen.settimeout(lib_net.PATIENCE)
    with seen:
        for family, target in targets.items():
            with lib_net.datagrams(pod, family) as sock:
                for _ in range(count):
                    sock.sendto(b"to nobody", (target, 9))
                sock.sendto(b"to the world", (lib_lab.WORLD[family], 9))
            while b"to the world" not in (frame := seen.recv(65536)):
                assert b"to nobody" not in frame, f"IPv{family}: {frame.hex()}"
    equal(kernel_drops(lab.a, pod) - before, count * len(targets))


def links(lab, a1, a2, b1):
    node = lab.a
    node.stop()
    node.start(*TINY, "--device", None)  # all that have a default route
    before = use(node, "weir_device")
    running = traffic(a1, a2, b1)
    flows_on(running, "at first")
    with claim("weir_device: status says which table is full, and what may be done"):
        for number in range(0, LINKS, 2):
            pair = f"more{number}", f"more{number + 1}"
            node.ip("link", "add", pair[0], "type", "veth", "peer", "name", pair[1])
            for link in pair:
                node.ip("link", "set", link, "up")
            for link in pair:
                node.ip("route", "add", "default", "dev", link, "metric", 1000 + int(link[4:]))
        wait_for(lambda: warned(node, "map weir_device is full", "--device"), "a warning")
        equal(use(node, "weir_device"), (LINKS, LINKS))
    with claim("weir_device: links that go make room"):
        for number in range(0, LINKS, 2):
            node.ip("link", "del", f"more{number}")
        wait_for(lambda: not warned(node, "weir_device") and use(node, "weir_device") == before,
                 "the rows of before")
    with claim("weir_device: pods never noticed"):
        flows_on(running, "with a full table")
        no_loss(running.end())


# --- fragments, events, who is gone --------------------------------------------------------------

def fragment(family, source, target, number, first):
    """One of a datagram of two."""
    body = struct.pack("!HHHH", 4000, 4001, 1400, 0) + bytes(504) if first else bytes(100)
    at = 0 if first else 64  # of 8 bytes
    if family == 6:
        head = struct.pack("!BBHI", 17, 0, at << 3 | first, number)
        return lib_net.frame(6, lib_net.ip_packet(6, source, target, 44, head + body))
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, first << 13 | at, 64, 17, 0)
    head += lib_net.packed(4, source) + lib_net.packed(4, target)
    check = struct.pack("!H", lib_net.checksum(head))
    return lib_net.frame(4, head[:10] + check + head[12:] + body)


def told(node, kind):
    """Events of this type that came, and that were lost, as metrics tell."""
    text = lib_net.http_get(node.run_dir / "agent.sock", "/metrics")
    return tuple(int(re.search(rf'^weir_events{which}_total{{type="{kind}"}} (\d+)$', text, re.M)[1])
                 for which in ("", "_lost"))


def fragments(lab, a1, a2, b1):
    """First fragments for an address that no pod has: each is remembered, dropped, and an event."""
    node = lab.a
    running = traffic(a1, a2, b1)
    for family in FAMILY:
        count, unknown, orphans = 3 * FRAGMENTS, drops(node, "POD_UNKNOWN"), drops(
            node, "FRAG_NO_FIRST")
        came, lost = told(node, "dropped")
        all_drops = node_drops(node)

        def send(number, first, family=family):
            sender.send(fragment(family, a1.address[family], node.unused[family], number, first))
        with a1.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("eth0", 0))
            for number in range(1, count + 1):
                send(number, True)
            with claim(f"IPv{family}, weir_frag: the rest of the newest datagram is known"):
                send(count, False)
                equal(drops(node, "POD_UNKNOWN") - unknown, count + 1)
                equal(drops(node, "FRAG_NO_FIRST") - orphans, 0)
            with claim(f"IPv{family}, weir_frag: the oldest has made room, its rest is dropped, named"):
                send(1, False)
                equal(drops(node, "FRAG_NO_FIRST") - orphans, 1)
        with claim(f"IPv{family}, weir_frag: large datagrams come whole"):
            for server in (a2, b1):
                whole(a1, server, family)
        with claim(f"IPv{family}, events_bytes: told and lost events add up to the packets dropped"):
            def now():
                found = told(node, "dropped")
                return found[0] - came, found[1] - lost
            wait_for(lambda: sum(now()) == node_drops(node) - all_drops, "the sum")
            assert now()[0] > 0 and now()[1] > 0, now()
            print(f"      {now()[0]} told, {now()[1]} lost")
            equal(sum(told(node, kind)[1] for kind in KINDS),
                  node.status()["events_lost"])
    with claim("weir_frag, events_bytes: pods never noticed"):
        flows_on(running, "with full tables")
        no_loss(running.end())


def drops(node, reason):
    return node.drops("from_pod", reason)


def node_drops(node):
    """All that Weir has dropped."""
    return sum(drop["packets"] for hook in node.status()["hooks"] if hook["hook"] != "kernel"
               for drop in hook["drops"])


def whole(client, server, family):
    with lib_net.datagrams(server, family, server.address[family]) as there, \
            lib_net.datagrams(client, family) as here:
        data = os.urandom(8000)
        here.sendto(data, there.getsockname()[:2])
        assert there.recv(65536) == data


def gone(lab, a1, a2, b1):
    node = lab.a
    running = traffic(a1, a2)
    held = {family: held_open(a1, b1, family) for family in FAMILY}
    crowd = [f"10.{200 + i // 65536}.{i // 256 % 256}.{i % 256}" for i in range(FRAGMENTS + 1000)]
    lab.write("Node", "_", "crowd", {"spec": {}, "status": {"addresses": [
        {"type": "InternalIP", "address": address} for address in crowd]}})
    wait_for(lambda: use(node, "weir_route")[0] > len(crowd), "a node of many addresses")
    with claim("weir_gone: more addresses go at once than it has room for"):
        (lab.objects / "Node" / "_" / "crowd.json").unlink()
        wait_for(lambda: len(node.map("weir_gone")) > FRAGMENTS // 2, "its rows")
        assert len(node.map("weir_gone")) <= FRAGMENTS
    with claim("weir_gone: a connection to who goes after them ends all the same"):
        lab.b.stop()
        lab.net.ip("link", "set", "vb", "down")
        (lab.objects / "Node" / "_" / "b.json").unlink()
        lab.forget_pod(b1)
        for family, (sock, _) in held.items():
            wait_for(lambda s=sock: ended(s), f"the one by IPv{family} to end")
    with claim("weir_gone: the others go on"):
        flows_on(running, "with a full table")
        no_loss(running.end())


def held_open(client, server, family):
    with lib_net.listener(server, family, server.address[family]) as listening:
        sock = lib_net.connected(client, family, listening.getsockname())
        other, _ = listening.accept()
    sock.setblocking(False)
    return sock, other


def ended(sock):
    try:
        sock.send(b"?")
        with contextlib.suppress(BlockingIOError):
            sock.recv(100)
    except OSError as error:
        return error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
    return False


def main():
    lib_lab.begin()
    lab = Lab(arguments=TINY)
    pods = [lab.pod(node, name) for node, name in ((lab.a, "a1"), (lab.a, "a2"), (lab.b, "b1"))]
    pods_of_a_node(lab, *pods)
    fragments(lab, *pods)
    smaller_than_its_pods(lab, *pods[:2])
    routes(lab, *pods)
    links(lab, *pods)
    pods_of_one_family(lab, pods[0])
    lab.a.stop()
    lab.a.start()
    gone(lab, *pods)
    lib_lab.finish(CLAIMS)


main()
