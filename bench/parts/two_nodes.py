"""Two nodes: each way has two of its own, joined by a veth pair. Weir's native routing beside Linux
routing, bare and with the connection tracking that a node of Kubernetes has; Weir's VXLAN beside the
bridge plugin with the kernel's. The floor is what eBPF takes that keeps no books."""

import json
import subprocess

from parts import cni, paths, report, weir
from parts.system import Failed, call

NODES = {4: ("172.28.0.10", "172.28.0.11"), 6: ("fd00:28::a", "fd00:28::b")}
VXLAN_HEADERS = 50
VXLAN_MAC = "0e:00:00:00:00:0"
# Weir's way, and the one it is measured against
PAIRS = (("weir_native", "linux_native"), ("weir_native", "linux_tracking"),
         ("weir_vxlan", "bridge_vxlan"))
TITLES = {"weir_native": "Weir, native routing", "linux_native": "ptp plugin, Linux routing",
          "linux_tracking": "the same, with conntrack", "floor_native": "a bare redirect in eBPF",
          "weir_vxlan": "Weir, VXLAN", "bridge_vxlan": "bridge plugin, kernel's VXLAN"}
AHEAD = 1.1  # p50 of the other ÷ Weir's


def ranges(number, node):
    return [f"10.{number}.{node}.0/24", f"fd00:{number}:0:{node}::/64"]


def family(cidr):
    return 6 if ":" in cidr else 4


def joined(system, name):
    """Two namespaces, their links joined."""
    spaces = [system.add_space(f"{name}-n{node}") for node in (0, 1)]
    call("ip", "-n", spaces[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
         "netns", spaces[1])
    for node, space in enumerate(spaces):
        call("ip", "-n", space, "addr", "add", f"{NODES[4][node]}/24", "dev", "eth0")
        call("ip", "-n", space, "addr", "add", f"{NODES[6][node]}/64", "dev", "eth0", "nodad")
        call("ip", "-n", space, "link", "set", "eth0", "up")
    return spaces


def weir_way(name, number, system, tools, options, flags, prepare=lambda space: None):
    """prepare: a node's namespace, before there is an agent."""
    names = [f"{name.replace('_', '-')}{node}" for node in (0, 1)]
    documents = [weir.node_object(names[node], [NODES[4][node], NODES[6][node]],
                                  ranges(number, node)) for node in (0, 1)]
    plugins = []
    for node, space in enumerate(joined(system, name)):
        prepare(space)
        one = weir.Node(system, tools, names[node], ranges(number, node),
                        ["--device", "eth0", *flags], site=weir.Site(space, documents))
        one.start()
        plugins.append(one.plugin)
    return paths.connect_pods(system, tools, paths.Path(name, TITLES.get(name, name)), plugins[0],
                              options, plugins[1])


def reference_way(name, kind, number, system, tools, mtu, options, join):
    """`join(space, node, other's ranges)` leads to the other node's pods."""
    plugins = []
    for node, space in enumerate(joined(system, name)):
        plugins.append(cni.reference(kind, system, tools, space, ranges(number, node), mtu))
        join(space, node, ranges(number, 1 - node))
    return paths.connect_pods(system, tools, paths.Path(name, TITLES[name]), plugins[0], options,
                              plugins[1])


def join_by_routes(space, node, other):
    for cidr in other:
        call("ip", "-n", space, "route", "add", cidr, "via", NODES[family(cidr)][1 - node])


def join_by_vxlan(space, node, other):
    """As flannel does: one device, the other node's end in its tables for good."""
    call("ip", "-n", space, "link", "add", "vx0", "type", "vxlan", "id", 1, "dev", "eth0",
         "local", NODES[4][node], "dstport", 8472, "nolearning")
    call("ip", "-n", space, "link", "set", "vx0", "address", f"{VXLAN_MAC}{node}", "up")
    mac = f"{VXLAN_MAC}{1 - node}"
    call("bridge", "-n", space, "fdb", "add", mac, "dev", "vx0", "dst", NODES[4][1 - node])
    for cidr in other:
        end = cidr.split("/")[0]  # the range's first address stands for the node
        call("ip", "-n", space, "neigh", "add", end, "lladdr", mac, "dev", "vx0", "nud",
             "permanent")
        if family(cidr) == 4:
            call("ip", "-n", space, "route", "add", cidr, "via", end, "dev", "vx0", "onlink")
        else:
            call("ip", "-n", space, "route", "add", f"{end}/128", "dev", "vx0")
            call("ip", "-n", space, "route", "add", cidr, "via", end, "dev", "vx0")


def join_tracking(space, node, other):
    """As kube-proxy and a masquerading agent have it: what is no connection's is dropped, and what
    leaves for the world is masqueraded."""
    join_by_routes(space, node, other)
    for cidr in other:
        table = "ip6tables" if family(cidr) == 6 else "iptables"
        for rule in (("-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"),
                     ("-t", "nat", "-A", "POSTROUTING", "!", "-d", cidr, "-o", "eth0", "-j",
                      "MASQUERADE")):
            call("ip", "netns", "exec", space, table, *rule)


def floor_way(name, number, system, tools, mtu, options):
    """TCP goes by two programs on each node, all else by the stack."""
    path = reference_way(name, "ptp", number, system, tools, mtu, options, join_by_routes)
    for node, (space, pod) in enumerate(zip(path.nodes, (path.client, path.server))):
        link = next(one for one in macs(space) if one.startswith("veth"))
        job = system.start([tools / "routing_floor", link, macs(pod)["eth0"], "eth0",
                            macs(path.nodes[1 - node])["eth0"]], space,
                           output=subprocess.PIPE)
        said = job.stdout.readline()
        if said != b"ready\n":
            raise Failed(job.stderr.read().decode().strip())
    return path


def macs(space):
    links = json.loads(call("ip", "-n", space, "-j", "link"))
    return {link["ifname"]: link["address"] for link in links}


def ways(system, tools, mtu, options, with_weir):
    raw = paths.raw_veth(system, tools, mtu, options)
    routed = [reference_way("linux_native", "ptp", 245, system, tools, mtu, options, join_by_routes),
              reference_way("linux_tracking", "ptp", 247, system, tools, mtu, options, join_tracking),
              floor_way("floor_native", 248, system, tools, mtu, options)]
    tunnelled = [reference_way("bridge_vxlan", "bridge", 246, system, tools, mtu - VXLAN_HEADERS,
                               options, join_by_vxlan)]
    if with_weir:
        routed.insert(0, weir_way("weir_native", 243, system, tools, options,
                                  ["--tunnel", "false"]))
        tunnelled.insert(0, weir_way("weir_vxlan", 244, system, tools, options, []))
    paths.same_links([raw, *routed])
    paths.same_links(tunnelled)
    return [raw, *routed, *tunnelled]


def targets(summary):
    rows = []
    for name, kinds in summary.items():
        for kind, facts in kinds.items():
            for mine, other in PAIRS:
                if mine not in facts["paths"]:
                    continue
                got, what = facts["paths"][mine][f"to_{other}"], report.LABELS[kind].rsplit(" ", 1)[0]
                if kind != "stream":
                    rows.append(report.target(f"{name} {what}, {TITLES[other]} ÷ {TITLES[mine]}",
                                              1 / got, AHEAD, False, facts["noise"]))
                elif other == "bridge_vxlan":
                    rows.append(report.target(f"{name} {what}, {TITLES[mine]} ÷ {TITLES[other]}",
                                              got, 1, False, facts["noise"]))
    return rows
