#!/usr/bin/env -S python3 -B
"""The path between pods as a network: TTL, ICMP errors, path MTU through translation, forged
packets and why they are dropped, translated ports, counters that add up. Both families."""

import socket

import lib_lab
import lib_net
from lib_lab import GATEWAY, WORLD, claim, equal
from lib_net import wait_for

FAR = {4: "198.51.100.1", 6: "2001:db8:1::1"}
FAR_LINK = {4: ("198.51.100.254/24", "198.51.100.1/24"),
            6: ("2001:db8:1::fe/64", "2001:db8:1::1/64")}
FAR_MTU = 1300
NAT_PORTS = range(61000, 65536)
TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}
TUNNEL_PORT = 8472
CLAIMS = 2 * 26 + 3


# --- TTL -----------------------------------------------------------------------------------------

def ttl_there(client, server, family, target):
    """TTL of a datagram sent with 64, as it arrives."""
    with lib_net.datagrams(server, family, target) as receiver, \
            lib_net.datagrams(client, family) as sender:
        lib_net.want_ttl(receiver, family)
        lib_net.set_ttl(sender, family, 64)
        sender.sendto(b"ttl", receiver.getsockname()[:2])
        return lib_net.received_ttl(receiver)[2]


def exceeded(client, family, target, ttl):
    """Who says that a datagram's TTL is used up; its quote names the sender's own port."""
    with lib_net.icmp_socket(client, family) as errors, \
            lib_net.datagrams(client, family) as sender:
        lib_net.set_ttl(sender, family, ttl)
        sender.sendto(b"trace", (target, 33434))
        port = sender.getsockname()[1].to_bytes(2, "big")
        at = 20 if family == 4 else 40
        _, router = lib_net.next_icmp(errors, family, lambda kind, code, _, quote: (
            kind, code) == TIME_EXCEEDED[family] and quote[at:at + 2] == port, "time exceeded")
        return router


def ttl(lab, family, a1, a2, b1):
    with claim(f"IPv{family}: a node takes one from the TTL, two nodes take two"):
        equal(ttl_there(a1, a2, family, a2.address[family]), 63, "on the node")
        equal(ttl_there(a1, b1, family, b1.address[family]), 62, "across")
        equal(ttl_there(b1, a1, family, a1.address[family]), 62, "back")
    with claim(f"IPv{family}: outside is one hop away, the own host none"):
        equal(ttl_there(a1, lab.net, family, WORLD[family]), 63, "outside")
        equal(ttl_there(a1, lab.a, family, lab.a.address[family]), 64, "own host")
    with claim(f"IPv{family}: TTL 1 ends at the node, which says so: same node, across, outside"):
        for target in (a2.address, b1.address, WORLD):
            equal(exceeded(a1, family, target[family], 1), lab.a.address[family], "router")
    with claim(f"IPv{family}: TTL 2 ends at the other node, which says so"):
        equal(exceeded(a1, family, b1.address[family], 2), lab.b.address[family], "router")
    with claim(f"IPv{family}: a router outside says so to the pod through the translation"):
        equal(exceeded(a1, family, FAR[family], 2), GATEWAY[family], "router")


# --- errors --------------------------------------------------------------------------------------

def refused(client, family, target, kind):
    """Nobody listens there: the client learns it."""
    with lib_net.make(client, family, kind) as sock:
        try:
            sock.connect((target, 9))
            sock.send(b"anyone?")
            sock.recv(100)
        except ConnectionRefusedError:
            return
    raise AssertionError("it was not refused")


def closed_ports(lab, family, a1, a2, b1):
    ways = {"a pod on the node": (a1, a2.address), "a pod on another node": (a1, b1.address),
            "the own host": (a1, lab.a.address), "another node's host": (a1, lab.b.address),
            "outside": (a1, WORLD), "the host's own pod": (lab.a, a1.address),
            "a pod from another host": (lab.b, a1.address)}
    for name, (client, target) in ways.items():
        with claim(f"IPv{family}: closed ports of {name}: UDP unreachable, TCP reset"):
            refused(client, family, target[family], socket.SOCK_DGRAM)
            refused(client, family, target[family], socket.SOCK_STREAM)


# --- path MTU ------------------------------------------------------------------------------------

def make_far(lab):
    """A host behind the gateway, over a link with a smaller MTU."""
    far = lib_lab.Namespace("far")
    lab.net.ip("link", "add", "far0", "mtu", FAR_MTU, "type", "veth", "peer", "name", "eth0",
               "netns", far.name)
    for family, (near_end, far_end) in FAR_LINK.items():
        nodad = ["nodad"] if family == 6 else []
        lab.net.ip("addr", "add", near_end, "dev", "far0", *nodad)
        far.ip("addr", "add", far_end, "dev", "eth0", *nodad)
    lab.net.ip("link", "set", "far0", "up")
    far.ip("link", "set", "eth0", "mtu", FAR_MTU, "up")
    for family, (near_end, _) in FAR_LINK.items():
        far.ip(f"-{family}", "route", "add", "default", "via", near_end.split("/")[0])
    with lab.net.inside():
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            with open(f"/proc/sys/net/{path}", "w", encoding="ascii") as file:
                file.write("1")
    return far


def learn_mtu(sock, family):
    """The MTU after the network has complained of a datagram that was too long."""
    lib_net.mtu_discover(sock, family, lib_net.DONT_FRAGMENT)

    def learned():
        try:
            sock.send(bytes(1400))
        except OSError as error:
            equal(error.errno, 90, "EMSGSIZE")
        return lib_net.path_mtu(sock, family) == FAR_MTU

    wait_for(learned, f"a path MTU of {FAR_MTU}, it is {lib_net.path_mtu(sock, family)}")


def path_mtu(family, a1, far):
    with claim(f"IPv{family}: a smaller MTU outside reaches the pod through the translation"):
        with lib_net.datagrams(a1, family) as sock:
            sock.connect((FAR[family], 9000))
            learn_mtu(sock, family)
    with claim(f"IPv{family}: TCP adapts to it"):
        lib_net.transfer(a1, far, family, FAR[family], 1 << 20)


# --- forged packets ------------------------------------------------------------------------------

def dropped(node, hook, reason, action, **wanted):
    """The action costs a packet for that reason; the flow says who sent it. Its flow line."""
    before, known = node.drops(hook, reason), len(node.flows())
    action()
    wait_for(lambda: node.drops(hook, reason) > before, f"a drop {reason} at {hook}: "
             f"{node.status()['hooks']}", 5)

    def told():
        for flow in node.flows()[max(0, known - 100):]:
            if flow["type"] == "dropped" and flow["drop_reason"]["name"] == reason and \
                    flow["hook"] == hook and \
                    all(flow[end].get(key) == value for end, pairs in wanted.items()
                        for key, value in pairs.items()):
                return flow
        return None

    return wait_for(told, f"a flow line of {reason}: {node.flows()[-3:]}", 5)


def from_pods(lab, family, a1, a2, b1):
    me, other = a1.address[family], a2.address[family]
    nobody = lab.a.unused[family]
    for name, source in (("its neighbour's", other), ("its node's", lab.a.address[family]),
                         ("a remote pod's", b1.address[family]), ("an unused", nobody),
                         ("an outside", FAR[family])):
        with claim(f"IPv{family}: a pod that sends with {name} address is told of as SPOOFED"):
            packet = lib_net.udp_packet(family, source, b1.address[family])
            dropped(lab.a, "from_pod", "SPOOFED",
                    lambda p=packet: lib_net.send_frame(a1, lib_net.frame(family, p)),
                    source={"address": source}, destination={"pod": "b1", "namespace": "lab"})
    for name, node in (("its own", lab.a), ("another", lab.b)):
        with claim(f"IPv{family}: a pod cannot speak to {name} node's tunnel port"):
            with lib_net.datagrams(a1, family) as sock:
                dropped(lab.a, "from_pod", "TUNNEL_FORBIDDEN",
                        lambda s=sock, n=node: s.sendto(lib_net.vxlan(b"x" * 40), (
                            n.address[family], TUNNEL_PORT)),
                        source={"pod": "a1", "namespace": "lab", "address": me})
    with claim(f"IPv{family}: an address of the node's range without a pod is POD_UNKNOWN"):
        with lib_net.datagrams(a1, family) as sock:
            dropped(lab.a, "from_pod", "POD_UNKNOWN", lambda: sock.sendto(b"x", (nobody, 9)),
                    source={"pod": "a1"}, destination={"address": nobody})
    with claim(f"IPv{family}: one of another node's range is POD_UNKNOWN there"):
        there = lab.b.unused[family]
        with lib_net.datagrams(a1, family) as sock:
            dropped(lab.b, "from_net", "POD_UNKNOWN", lambda: sock.sendto(b"x", (there, 9)),
                    source={"pod": "a1"}, destination={"address": there})


def tunnelled(where, outer, node, packet, family):
    """A VXLAN packet by hand. outer: family of the outer addresses."""
    with lib_net.datagrams(where, outer) as sock:
        inner = lib_net.frame(family, packet, lib_net.TUNNEL_MAC, lib_net.LINK_MAC)
        sock.sendto(lib_net.vxlan(inner), (node.address[outer], TUNNEL_PORT))


def by_tunnel(lab, family, a1, a2, b1):
    packet = lib_net.udp_packet(family, b1.address[family], a1.address[family])
    with claim(f"IPv{family}: a remote pod's packet from who is not its node is TUNNEL_SOURCE"):
        dropped(lab.a, "from_net", "TUNNEL_SOURCE",
                lambda: tunnelled(lab.net, 4, lab.a, packet, family),
                source={"pod": "b1"}, destination={"pod": "a1"})
    own = lib_net.udp_packet(family, a2.address[family], a1.address[family])
    with claim(f"IPv{family}: the node's own pods do not come from the network: SPOOFED"):
        dropped(lab.a, "from_net", "SPOOFED", lambda: tunnelled(lab.b, 4, lab.a, own, family),
                source={"pod": "a2"})
        mac = bytes.fromhex(lab.a.links()["eth0"]["address"].replace(":", ""))
        dropped(lab.a, "from_net", "SPOOFED",
                lambda: lib_net.send_frame(lab.net, lib_net.frame(family, own, mac), "br0"),
                source={"pod": "a2"})


# --- translated ports ----------------------------------------------------------------------------

def echo(one, other):
    one.sendall(b"to")
    equal(other.recv(10), b"to")
    other.sendall(b"fro")
    equal(one.recv(10), b"fro")


def translated_ports(lab, family, a1, a2):
    with claim(f"IPv{family}: translated ports are 61000-65535, the host's own are not touched"):
        mine = (lab.a.address[family], 61005)
        with lib_net.listener(lab.net, family, WORLD[family]) as listener:
            target = listener.getsockname()
            pairs = []
            host = lib_net.connected(lab.a, family, target, mine)
            pairs.append((host, listener.accept()))
            for number in range(40):
                pod = (a1, a2)[number % 2]
                # The host's port is asked for, too: by two pods.
                source = (pod.address[family], 61005 if number < 2 else 0)
                client = lib_net.connected(pod, family, target, source)
                pairs.append((client, listener.accept()))
        peers = [peer[:2] for _, (_, peer) in pairs]
        try:
            equal(peers[0], mine, "the host's own")
            equal(len(set(peers)), len(peers), "distinct")
            for address, port in peers:
                assert address == lab.a.address[family] and port in NAT_PORTS, (address, port)
            for client, (server, _) in pairs:
                echo(client, server)
        finally:
            for client, (server, _) in pairs:
                client.close()
                server.close()


def unbalanced(node):
    return [hook for hook in node.status()["hooks"]
            if hook["packets_in"] != hook["forwarded"] + hook["to_stack"] +
            sum(drop["packets"] for drop in hook["drops"])]


def main():
    lib_lab.begin()
    lab = lib_lab.Lab("vxlan")
    a1, a2, b1 = lab.pod(lab.a, "a1"), lab.pod(lab.a, "a2"), lab.pod(lab.b, "b1")
    far = make_far(lab)
    for family in (4, 6):
        ttl(lab, family, a1, a2, b1)
        closed_ports(lab, family, a1, a2, b1)
        path_mtu(family, a1, far)
        from_pods(lab, family, a1, a2, b1)
        by_tunnel(lab, family, a1, a2, b1)
        translated_ports(lab, family, a1, a2)
    with claim("packets in = forwarded + to the stack + dropped, at each hook of each node"):
        for node in lab.nodes:
            wait_for(lambda n=node: not unbalanced(n), f"the sum on {node.node}: "
                     f"{unbalanced(node)}")
            for hook in node.status()["hooks"]:
                # No Service is called, and no uplink has --xdp.
                unused = hook["hook"] in ("socket", "xdp")
                assert unused or hook["packets_in"] > 0, f"{hook['hook']} has seen nothing"
    with claim("no event was lost"):
        equal([node.status()["events_lost"] for node in lab.nodes], [0, 0])
    with claim("the agents have nothing to warn of but ports"):
        for node in lab.nodes:
            equal([one for one in node.status()["warnings"] if "ports" not in one], [])
    lib_lab.finish(CLAIMS)


main()
