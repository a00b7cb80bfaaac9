"""The ways between two pods that are compared: namespaces of their own, all alive at once."""

import copy
import random

from parts import cni
from parts.system import OTHER_CPU, TRAFFIC_CPU, Failed, call, json_in, wait_for

PORT = 7000
KINDS = ("rr", "crr", "stream")
FAMILIES = ("IPv4", "IPv6")


class Path:
    """Two pods, a server in the second; `addresses`: of the server, IPv4 and IPv6, or one of them;
    `nodes`: of the two, where the way has nodes; `entry`: words before the client's command;
    `options`: of its own, after all others."""

    def __init__(self, name, title):
        self.name, self.title = name, title
        self.client, self.server, self.nodes, self.addresses = None, None, [], {}
        self.port, self.entry, self.options = PORT, [], []

    def serve(self, system, tools, space, addresses, options, entry=()):
        self.addresses = {("IPv6" if ":" in one else "IPv4"): one for one in addresses}
        system.start([*entry, tools / "nb", "server", "--port", PORT, *options], space)
        wait_for(f"nb server of {self.name}", lambda: listening(space))

    def measure(self, tools, kind, family, seconds, options):
        return json_in(self.client, *self.entry, tools / "nb", kind, "--host",
                       self.addresses[family], "--port", self.port, "--seconds", seconds, *options,
                       *self.options)


def with_cc(path, cc):
    """The same way, by a congestion control of its own."""
    other = copy.copy(path)
    other.name, other.options = f"{path.name}/{cc}", ["--cc", cc]
    return other


def listening(space):
    return f":{PORT}" in call("ip", "netns", "exec", space, "ss", "-Hltn")


def nb_options(cc, fifo):
    return ["--cpu", TRAFFIC_CPU, "--cc", cc, *(["--fifo"] if fifo else [])]


def raw_veth(system, tools, mtu, options, name="raw"):
    """The limit: one veth pair, nothing in between."""
    path = Path(name, "raw veth pair")
    path.client, server = (system.add_space(f"{name}-{end}") for end in "ab")
    call("ip", "-n", path.client, "link", "add", "eth0", "mtu", mtu, "type", "veth", "peer",
         "name", "eth0", "mtu", mtu, "netns", server)
    for space, number in ((path.client, 1), (server, 2)):
        call("ip", "-n", space, "addr", "add", f"10.230.0.{number}/24", "dev", "eth0")
        call("ip", "-n", space, "addr", "add", f"fd00:230::{number}/64", "dev", "eth0", "nodad")
        call("ip", "-n", space, "link", "set", "eth0", "up")
    path.serve(system, tools, server, ["10.230.0.2", "fd00:230::2"], options)
    return path


def connect_pods(system, tools, path, plugin, options, other=None):
    """Two pods on the plugin's node; `other`: the plugin of the server's node, if that is another."""
    path.nodes = [plugin.node, (other or plugin).node]
    path.client, path.server = (system.add_space(f"{path.name}-{end}") for end in "ab")
    plugin.add(path.client)
    path.serve(system, tools, path.server, (other or plugin).add(path.server), options)
    return path


def plugin_path(kind, system, tools, mtu, options):
    """A reference plugin with host-local addresses: Linux routing or a Linux bridge."""
    node = system.add_space(f"{kind}-n")
    number = {"ptp": 232, "bridge": 233}[kind]
    plugin = cni.reference(kind, system, tools, node,
                           [f"10.{number}.0.0/16", f"fd00:{number}::/64"], mtu)
    title = {"ptp": "ptp plugin, Linux routing", "bridge": "bridge plugin"}[kind]
    return connect_pods(system, tools, Path(kind, title), plugin, options)


def weir_path(name, title, node, system, tools, options):
    return connect_pods(system, tools, Path(name, title), node.plugin, options)


def gso_sizes(path):
    """What the client's link may send at once; all ways must be alike."""
    link = json_in(path.client, "ip", "-d", "-j", "link", "show", "eth0")[0]
    return {"mtu": link["mtu"], "gso_max_size": link["gso_max_size"]}


def measure(paths, tools, plan, progress):
    """{(kind, family): {path: [result of each round]}}; every round in an order of its own."""
    metrics = [(kind, family) for kind in plan["kinds"] for family in plan["families"]]
    results = {metric: {path.name: [] for path in paths if metric[1] in path.addresses}
               for metric in metrics}
    shuffler = random.Random(1)
    for turn in range(plan["rounds"]):
        progress(f"round {turn + 1} of {plan['rounds']}")
        jobs = [(path, metric) for path in paths for metric in metrics
                if metric[1] in path.addresses]
        shuffler.shuffle(jobs)
        for path, (kind, family) in jobs:
            results[kind, family][path.name].append(
                path.measure(tools, kind, family, plan["seconds"], plan["options"]))
    return results


def same_links(ways):
    """The sizes of all ways' links, which must be alike."""
    links = {way.name: gso_sizes(way) for way in ways}
    if len({tuple(link.values()) for link in links.values()}) > 1:
        raise Failed(f"the ways differ in MTU or GSO size: {links}")
    return next(iter(links.values()))


__all__ = ["FAMILIES", "KINDS", "OTHER_CPU", "Path", "connect_pods", "gso_sizes", "measure",
           "nb_options", "plugin_path", "raw_veth", "same_links", "weir_path", "with_cc"]
