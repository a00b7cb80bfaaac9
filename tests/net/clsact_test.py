#!/usr/bin/env -S python3 -B
"""Programs attached by clsact, as kernels without TCX have it: pods, Services and the world are reached,
the agent dies and comes back, others' filters stay, and links change between TCX and clsact, all without
a loss; in the end nothing is left."""

import json
import signal
import subprocess
import types

import lib_bpf
import lib_lab
import lib_net
import lib_services
from lib_lab import WORLD, claim, equal
from lib_net import wait_for
from lib_remains import answers
from lib_traffic import Traffic, flows_on, no_loss

CLAIMS = 17
CLSACT = ("--clsact", "true")
LOOK_SECONDS = 25
PREFERENCE = 87  # of Weir's filters
DIRECTIONS = ("ingress", "egress")
HOST_SERVICE = 9


def tc(node, *words):
    with node.inside():
        return lib_net.run("tc", *words).stdout


def filters(node, link, direction):
    found = json.loads(tc(node, "-j", "filter", "show", "dev", link, direction) or "[]")
    return [one for one in found if "handle" in one.get("options", {})]


def own(node, link, direction):
    """The id of Weir's program there; 0: none."""
    return next((one["options"]["prog"]["id"] for one in filters(node, link, direction)
                 if one["pref"] == PREFERENCE), 0)


def has_clsact(node, link):
    return "clsact" in tc(node, "qdisc", "show", "dev", link)


def hooks(node):
    """(link, direction) of all links with programs of Weir -> ids by TCX, the id by clsact."""
    return {(name, direction): (lib_bpf.order(node, link["ifindex"], direction),
                                own(node, name, direction))
            for name, link in node.links().items() for direction in DIRECTIONS
            if name != "lo" or direction == "egress"}


def all_by(node, way):
    """Every hook has one program, attached that way."""
    for hook, (by_tcx, by_clsact) in hooks(node).items():
        assert (len(by_tcx), bool(by_clsact)) == ((1, False) if way == "tcx" else (0, True)), \
            f"{node.node} {hook}: TCX {by_tcx}, clsact {by_clsact}"
    equal(node.status()["attach"], way)


def source_outside(lab, pod, family):
    with lib_net.datagrams(lab.net, family, WORLD[family]) as server, \
            lib_net.datagrams(pod, family) as client:
        client.sendto(b"who?", server.getsockname()[:2])
        return server.recvfrom(100)[1][0]


def traffic_of(lab, pods):
    """Between pods, to the world, and to a Service whose backend is the node itself: translated, then
    left to the stack."""
    a1, a2, b1 = pods
    traffic = Traffic([(f"IPv{family} {name}", a1, server, family, server.address[family])
                       for family in (4, 6) for name, server in (("on the node", a2), ("across", b1))]
                      + [("IPv4 masqueraded", a1, lab.net, 4, WORLD[4])])
    traffic.serve(lab.a, 4, lab.a.address[4], 8080)
    at = (lib_services.vip(4, HOST_SERVICE), 80)
    traffic.meet("IPv4 to a Service of the host", a1, 4, at, at)
    return traffic


def figures(result):
    lost = sum(one["udp_lost"] for one in result.values())
    sent = sum(one["udp_sent"] for one in result.values())
    opened = sum(one["opened"] for one in result.values())
    longest = max(one["longest"] for one in result.values())
    print(f"      {lost} of {sent} datagrams lost, {opened} connections opened, the longest round of "
          f"an echo took {1000 * longest:.0f} ms")


# --- by clsact -----------------------------------------------------------------------------------

def reached(lab, pods):
    a1, a2, b1 = pods
    with claim("status says how programs are attached, and why"):
        for node in lab.nodes:
            all_by(node, "clsact")
            equal(node.status()["attach_reason"], "the setting clsact")
            equal(node.status()["other_programs"], [])
    with claim("pods are reached on the node and across, by pods and by hosts"):
        for client, server in ((a1, a2), (a1, b1), (b1, a1), (lab.a, a1), (lab.b, a1)):
            answers(client, server)
    with claim("the world sees the node's address"):
        for family in (4, 6):
            equal(source_outside(lab, a1, family), lab.a.address[family])
    with claim("Services are served to pods, to hosts and outside"):
        servers = lib_services.Servers()
        servers.add("a2", a2, 8080)
        servers.add("b1", b1, 8080)
        servers.start()
        lib_services.service(lab, "web", 8, [a2, b1], lib_services.both(nodePort=30080),
                             type="NodePort")
        callers = [lib_services.Caller("pod", a1, lab.a), lib_services.Caller("host", lab.a, lab.a)]
        lib_services.wait_to_serve(callers, [8])
        for family in (4, 6):
            for caller in callers:
                equal(lib_services.met(caller, family, lib_services.vip(family, 8)), {"a2", "b1"})
            equal(lib_services.met(lab.net, family, lab.a.address[family], 30080), {"a2", "b1"})


def restarts(lab, traffic):
    node = lab.a
    with claim("kill -9 of the agent: the next one adopts what is attached"):
        before = hooks(node)
        node.stop(signal.SIGKILL)
        flows_on(traffic, "without an agent")
        node.start()
        equal((node.status()["adopted"], hooks(node)), (True, before))
        flows_on(traffic, "with the next agent")
    with claim("other settings: each filter's program is replaced in its place"):
        node.stop()
        node.start(*lab.arguments, "--flow-events", "false")
        after = hooks(node)
        equal(sorted(after), sorted(before))
        assert not {one for _, one in after.values()} & {one for _, one in before.values()}, after
        all_by(node, "clsact")
        flows_on(traffic, "with other programs")


# --- others --------------------------------------------------------------------------------------

def of_others(lab, traffic, pod_link):
    """A filter before Weir's and one after, on the uplink; removed again at the end."""
    node = lab.a
    programs = {}
    with node.inside():
        for name, preference in (("early", 5), ("late", 500)):
            program = programs[name] = lib_bpf.Program(name)
            pin = node.bpffs / name
            program.pin(pin)
            lib_net.run("tc", "filter", "add", "dev", "eth0", "egress", "pref", preference, "bpf",
                        "direct-action", "pinned", pin)
            pin.unlink()
    wanted = [("eth0", "egress", "clsact", "early:[*fsobj]", "before"),
              ("eth0", "egress", "clsact", "late:[*fsobj]", "after")]

    def shown():
        return [tuple(one[key] for key in ("link", "direction", "attach", "name", "order"))
                for one in node.status()["other_programs"]]

    with claim("filters of others are shown, and stay in their order with another agent"):
        equal(shown(), wanted)
        node.stop()
        node.start()
        equal(shown(), wanted)
        equal([one["pref"] for one in filters(node, "eth0", "egress")], [5, PREFERENCE, 500])
        flows_on(traffic, "with filters of others")
    result = traffic.end()
    with claim("until here nothing was lost, reset or refused"):
        figures(result)
        no_loss(result)
    with claim("what another tool takes away comes back, the qdisc too, and status says which"):
        tc(node, "filter", "del", "dev", "eth0", "ingress", "pref", str(PREFERENCE))
        tc(node, "qdisc", "del", "dev", pod_link, "clsact")
        wait_for(lambda: any("taken off links by something else" in one and "eth0" in one and
                             pod_link in one for one in node.status()["warnings"]), "the warning",
                 LOOK_SECONDS)
        all_by(node, "clsact")
    with claim("filters of others stay when the links change to TCX"):
        node.stop()
        node.start(*lab.arguments, "--clsact", "false")
        all_by(node, "tcx")
        equal(shown(), [(*one[:4], "after") for one in wanted])
        tc(node, "qdisc", "del", "dev", "eth0", "clsact")
        for program in programs.values():
            program.close()
    with claim("a qdisc of others where clsact would be is named, and stays"):
        tc(node, "qdisc", "add", "dev", "eth0", "ingress")
        node.stop()
        done = subprocess.run(node.command(*lab.arguments), text=True, capture_output=True, timeout=50,
                              stdin=subprocess.DEVNULL, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "tc qdisc del dev eth0 ingress" in said, said
        tc(node, "qdisc", "del", "dev", "eth0", "ingress")
        node.start()
        all_by(node, "clsact")


# --- between the two -----------------------------------------------------------------------------

def change(lab, way):
    node = lab.a
    node.stop(signal.SIGKILL if way == "tcx" else signal.SIGTERM)
    node.start(*lab.arguments, "--clsact", "true" if way == "clsact" else "false")
    all_by(node, way)
    assert not any("taken off" in one for one in node.status()["warnings"])


def first_change(lab, pods):
    node = lab.a
    change(lab, "tcx")
    for link in node.links():
        if has_clsact(node, link):
            tc(node, "qdisc", "del", "dev", link, "clsact")
    traffic = traffic_of(lab, pods)
    flows_on(traffic, "by TCX")
    with claim("links get clsact under traffic: what the kernel drops then is a moment's"):
        change(lab, "clsact")
        flows_on(traffic, "by clsact")
        result = traffic.end()
        figures(result)
        for name, one in result.items():
            equal((one["errors"], one["unanswered"]), ([], False), name)
            assert one["udp_lost"] < 200, f"{name}: {one}"


def changes(lab, pods):
    traffic = traffic_of(lab, pods)
    flows_on(traffic, "before the change")
    with claim("links change from clsact to TCX and back, four times"):
        for way in ("tcx", "clsact") * 4:
            change(lab, way)
            flows_on(traffic, f"by {way}")
    result = traffic.end()
    with claim("nothing was lost, reset or refused meanwhile"):
        figures(result)
        no_loss(result)


def natively(lab, pods):
    with claim("without a tunnel, too: pods across, Services, the world"):
        for node in lab.nodes:
            node.stop()
            node.start(*lab.arguments, "--tunnel", "false")
        traffic = traffic_of(lab, pods)
        flows_on(traffic, "natively")
        result = traffic.end()
        figures(result)
        no_loss(result)
        for node in lab.nodes:
            all_by(node, "clsact")


def nothing_left(lab, pods, pod_link):
    node = lab.a
    with claim("a pod's link takes its filters along"):
        pods[1].delete()
        equal(len(hooks(node)), 2 * 2 + 1, "hooks")
    with claim("--remove takes off what is Weir's: filters, qdiscs, and nothing of others"):
        node.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        tc(node, "qdisc", "add", "dev", "v0", "clsact")
        node.stop()
        done = subprocess.run([*node.command(), "--remove"], text=True, capture_output=True, timeout=50,
                              stdin=subprocess.DEVNULL, check=False)
        equal(done.returncode, 0, done.stdout + done.stderr)
        assert pod_link not in node.links(), "a pod's link"
        equal({name: has_clsact(node, name) for name in ("lo", "eth0", "v0")},
              {"lo": False, "eth0": False, "v0": True})
        equal([pin for pin in node.pins() if pin.startswith("weir")], [])


def main():
    lib_lab.begin()
    lab = lib_services.lab(hooks=False, arguments=CLSACT)
    pods = [lab.pod(lab.a, "a1"), lab.pod(lab.a, "a2"), lab.pod(lab.b, "b1")]
    pod_link = next(name for name in lab.a.links() if name.startswith("weir") and
                    name != "weir_vxlan")
    host = types.SimpleNamespace(address=lab.a.address, node=lab.a, pod="host")
    lib_services.service(lab, "host", HOST_SERVICE, [host])
    reached(lab, pods)
    traffic = traffic_of(lab, pods)
    flows_on(traffic, "at first")
    restarts(lab, traffic)
    of_others(lab, traffic, pod_link)
    changes(lab, pods)
    first_change(lab, pods)
    natively(lab, pods)
    nothing_left(lab, pods, pod_link)
    lib_lab.finish(CLAIMS)


main()
