#!/usr/bin/env -S python3 -B
"""What others do to a node that Weir serves: they take its programs off links, unmount its BPF file
system, delete its links and routes, change MTU, MAC and addresses, rename the uplink. It repairs, or
says what it cannot (docs/faults.md)."""

import signal
import sys
import time

import lib_lab
import lib_net
from lib_lab import GATEWAY, Lab, claim, equal
from lib_net import run, wait_for
from lib_traffic import Traffic, flows_on

CLAIMS = 13
LOOK_SECONDS = 15  # the agent looks after its programs every 10 s


def ways(pods):
    a1, a2, b1 = pods
    return [(f"IPv{family} {name}", a1, server, family, server.address[family])
            for family in (4, 6) for name, server in (("on the node", a2), ("across", b1))]


def warning(node, text):
    return any(text in one for one in node.status()["warnings"])


def reaches(client, server):
    """By both families, now."""
    def answered(family):
        with lib_net.make(client, family, 2, timeout=0.3) as sock, \
                lib_net.datagrams(server, family, server.address[family]) as listener:
            sock.sendto(b"here", listener.getsockname()[:2])
            listener.settimeout(0.3)
            try:
                return listener.recv(10) == b"here"
            except TimeoutError:
                return False
    return all(answered(family) for family in (4, 6))


# --- programs and their file system --------------------------------------------------------------

def detached(lab, pods):
    node = lab.a
    before = node.attached()
    with claim("programs that another tool takes off links come back, and status says which"):
        for name in before:
            path = next((node.bpffs / "weir").rglob(name))
            run("bpftool", "link", "detach", "pinned", path)
        wait_for(lambda: warning(node, "taken off links by something else"), "the warning",
                 LOOK_SECONDS)
        equal(node.attached(), before)
        equal(reaches(pods[0], pods[2]), True, "across")
    with claim("they judge packets again"):
        spoofed = node.drops("from_pod", "SPOOFED")
        pods[0].ip("addr", "add", "10.9.9.9/32", "dev", "lo")
        with lib_net.datagrams(pods[0], 4, "10.9.9.9") as sock:
            sock.sendto(b"forged", (pods[1].address[4], 9))
        wait_for(lambda: node.drops("from_pod", "SPOOFED") > spoofed, "the drop")
        pods[0].ip("addr", "del", "10.9.9.9/32", "dev", "lo")


def unmounted(lab, pods):
    node = lab.a
    traffic = Traffic(ways(pods))
    flows_on(traffic, "at first")
    with claim("its BPF file system is unmounted: all goes on, and status says so"):
        run("umount", "-l", node.bpffs)
        wait_for(lambda: warning(node, "the BPF file system is gone"), "the warning", LOOK_SECONDS)
        flows_on(traffic, "without it")
    with claim("it is mounted again: the links are pinned again, and status says what is not"):
        run("mount", "-t", "bpf", "bpf", node.bpffs)
        wait_for(lambda: warning(node, "the pins of programs and tables are gone"), "the warning",
                 LOOK_SECONDS)
        equal(warning(node, "the BPF file system is gone"), False)
        equal(len(node.attached()), 2 * 2 + 2 * 2 + 1, "pinned links")
    with claim("the next agent takes the links over: no connection is reset, all are answered"):
        node.stop(signal.SIGKILL)
        node.start()
        equal(warning(node, "pins"), False)
        flows_on(traffic, "with another agent")
        # Its tables begin empty, and packets of that moment are dropped: POD_UNKNOWN, NO_ROUTE.
        for name, one in traffic.end().items():
            equal((one["errors"], one["unanswered"]), ([], False), name)


# --- links, routes, addresses --------------------------------------------------------------------

def mtu_of(node, name):
    return next(one["mtu"] for one in node.status()["devices"] if one["name"] == name)


def uplink_changes(lab, pods):
    node = lab.a
    with claim("another MTU of the uplink is that of the tunnel and of new pods"):
        node.ip("link", "set", "eth0", "mtu", "1400")
        wait_for(lambda: mtu_of(node, "eth0") == 1400, "the MTU", 5)
        equal(mtu_of(node, "weir_vxlan"), 1350)
        late = lab.pod(node, "late")
        equal(late.mtu(), 1350)
        late.delete()
        node.ip("link", "set", "eth0", "mtu", "1500")
        wait_for(lambda: mtu_of(node, "weir_vxlan") == 1450, "the MTU", 5)
    with claim("what it said last is quiet then: an agent that causes no changes of its own"):
        used = node.cpu_ms()
        time.sleep(1)  # what it does with nothing to do is the question
        assert node.cpu_ms() - used < 50, f"{node.cpu_ms() - used} ms of CPU time in a second"
    with claim("the tunnel's link is deleted: it is there again, and pods are reached across"):
        node.ip("link", "del", "weir_vxlan")
        wait_for(lambda: reaches(pods[0], pods[2]), "the other node's pod", 5)
        wait_for(lambda: reaches(pods[2], pods[0]), "the way back", 5)
    with claim("routes to the other node's pods are deleted: the host has them again"):
        for family, cidr in zip(("-4", "-6"), lab.b.ranges):
            node.ip(family, "route", "del", cidr)
            wait_for(lambda family=family, cidr=cidr: node.json(family, "route", "show", cidr),
                     f"the route to {cidr}", 5)
        equal(reaches(node, pods[2]), True)
    with claim("the uplink's MAC changes: pods are reached across"):
        node.ip("link", "set", "eth0", "address", "02:77:00:00:00:01")
        wait_for(lambda: reaches(pods[0], pods[2]) and reaches(pods[2], pods[0]), "both ways", 10)
    with claim("the uplink has another name: status says that --device is gone, and traffic goes on"):
        rename(node, "eth0", "wan0")
        wait_for(lambda: warning(node, "--device eth0: there is no such link"), "the warning", 5)
        equal(reaches(pods[0], pods[2]), True)
    with claim("it has its name again: status is content, the programs are those of before"):
        rename(node, "wan0", "eth0")
        wait_for(lambda: not warning(node, "--device"), "no warning", 5)
        equal(reaches(pods[0], pods[2]) and reaches(pods[2], pods[0]), True)


def rename(node, old, new):
    node.ip("link", "set", old, "name", new)


def addresses(lab, pods):
    node = lab.b
    with claim("a node has other addresses: its pods are reached there"):
        new = {4: "172.30.0.99", 6: "fd00:30::99"}
        for family, bits, flags in ((4, 24, []), (6, 64, ["nodad"])):
            node.ip("addr", "del", f"{node.address[family]}/{bits}", "dev", "eth0")
            node.ip("addr", "add", f"{new[family]}/{bits}", "dev", "eth0", *flags)
            node.ip(f"-{family}", "route", "replace", "default", "via", GATEWAY[family])
        lab.write("Node", "_", "b", {
            "spec": {"podCIDR": node.ranges[0], "podCIDRs": node.ranges},
            "status": {"addresses": [{"type": "InternalIP", "address": one}
                                     for one in new.values()]}})
        wait_for(lambda: reaches(pods[0], pods[2]) and reaches(pods[2], pods[0]), "both ways", 10)


def main():
    lib_lab.begin()
    lab = Lab("vxlan")
    pods = [lab.pod(lab.a, "a1"), lab.pod(lab.a, "a2"), lab.pod(lab.b, "b1")]
    detached(lab, pods)
    unmounted(lab, pods)
    uplink_changes(lab, pods)
    addresses(lab, pods)
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
