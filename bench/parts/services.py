"""Services: what a ClusterIP costs beside the pod's own address, and beside kube-proxy."""

from parts import kube_proxy, objects, paths, weir
from parts.system import Failed, wait_for

SUBNETS = ["10.242.0.0/16", "fd00:242::/64"]
MODES = {"sockets": "socket hooks", "packets": "packet path"}
KINDS = ("rr", "crr")
FLAGS = [word for cidr in objects.CIDRS for word in ("--service-cidr", cidr)] + [
    "--ct-max", "262144"]  # as many as conntrack has here


def number(count):
    return f"{count:,} Service" + ("s" if count > 1 else "")


class Node:
    """A Weir node with `count` Services, of which one is measured."""

    def __init__(self, system, tools, mode, count, others, options):
        self._system, self._tools, self._options = system, tools, options
        self.name, self._title = f"{mode}_{count}", f"{MODES[mode]}, {number(count)}"
        cgroup = system.add_cgroup(self.name) if mode == "sockets" else None
        self._entry = system.enter_cgroup(cgroup) if cgroup else []
        self._node = weir.Node(system, tools, self.name, SUBNETS, FLAGS, cgroup)
        objects.link_others(others, self._node.folder / "objects", count - 1)
        self.seconds = self._node.start()[0]
        self._serve(count)

    def _serve(self, count):
        server = paths.Path(self.name, "")
        space = self._system.add_space(f"{self.name}-b")
        addresses = self._node.plugin.add(space)
        server.serve(self._system, self._tools, space, addresses, self._options, self._entry)
        self._server, self._vips = server, objects.cluster_ips(count - 1)
        folder = self._node.folder / "objects"
        objects.write(folder, objects.service("measured", self._vips))
        for address in addresses:
            objects.write(folder, objects.endpoint_slice("measured", self.name, address,
                                                         paths.PORT))

    def way(self, what):
        """To the "pod"'s address or to the "service"'s, from a pod of its own: tuples in TIME_WAIT
        are not shared."""
        title = {"pod": "pod address", "service": "ClusterIP"}[what]
        path = paths.Path(f"{self.name}_{what}", f"{title}, {self._title}")
        path.client, path.entry = self._system.add_space(f"{self.name}-{what}"), self._entry
        self._node.plugin.add(path.client)
        path.addresses = dict(self._server.addresses)
        if what == "service":
            path.port = objects.PORT
            path.addresses = {objects.family(one): one for one in self._vips}
        return path


def answers(path, tools):
    """One short run to each address succeeds."""
    try:
        for family in path.addresses:
            path.measure(tools, "crr", family, 0.001, [])
    except Failed:
        return False
    return True


def weir_ways(system, tools, counts, options, progress):
    others = system.folder("others")
    objects.write_others(others, max(counts) - 1)
    ways = []
    for count in counts:
        for mode in MODES:
            progress(f"{count:,} Services, {MODES[mode]}")
            node = Node(system, tools, mode, count, others, options)
            ways += [node.way("pod")] if count == 1 else []
            ways.append(node.way("service"))
    for path in ways:
        wait_for(f"an answer by {path.title}", lambda path=path: answers(path, tools), 60)
    return ways


def proxy_ways(system, tools, program, count, mtu, options, progress):
    """The ways, and {mode: seconds until all Services were in force}."""
    ways, seconds = [], {}
    for mode in kube_proxy.NUMBERS:
        progress(f"{count:,} Services, kube-proxy {mode}")
        path, seconds[mode] = kube_proxy.way(mode, program, count, system, tools, mtu,
                                             options)
        wait_for(f"an answer by {path.title}", lambda path=path: answers(path, tools), 60)
        ways.append(path)
    return ways, seconds
