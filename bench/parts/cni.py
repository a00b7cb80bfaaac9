"""CNI plugins as a runtime calls them, and what their ADD and DEL cost."""

import json
import os
import random

from parts.stats import quantile
from parts.system import Failed, call, inside

PLUGINS = "/usr/lib/cni"
AHEAD = ("chrt", "-f", "10")


class Plugin:
    """One plugin with its configuration, called in a node's namespace."""

    def __init__(self, system, tools, node, path, config):
        self.node, self._path, self._timer = node, str(path), [str(tools / "exec_time")]
        self._config = system.folder("cni") / f"{node}.json"
        self._config.write_text(json.dumps(config), encoding="utf-8")

    def ahead(self):
        """From now on its processes run before ordinary ones."""
        self._timer = [*AHEAD, *self._timer]

    def call(self, command, pod, identity):
        """(milliseconds, result or None). `pod`: name of the pod's namespace."""
        environment = dict(os.environ, CNI_COMMAND=command, CNI_CONTAINERID=identity,
                           CNI_NETNS=f"/run/netns/{pod}", CNI_IFNAME="eth0", CNI_PATH=PLUGINS,
                           CNI_ARGS=f"IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME={pod};"
                                    f"K8S_POD_UID={identity}")
        done = json.loads(call(*inside(self.node, [*self._timer, str(self._config), self._path]),
                               env=environment))
        if done["exit"]:
            raise Failed(f"{self._path} {command} {pod}: {done['output']}")
        return done["ns"] / 1e6, json.loads(done["output"]) if done["output"].strip() else None

    def add(self, pod):
        """Connects the pod; its addresses."""
        result = self.call("ADD", pod, pod)[1]
        return [entry["address"].split("/")[0] for entry in result["ips"]]


class Floor:
    """The bare netlink exchange, timed inside its process."""

    def __init__(self, tools, node):
        self.node, self._program, self._next = node, [str(tools / "netlink_floor")], 1000
        self._index = {}

    def ahead(self):
        self._program = [*AHEAD, *self._program]

    def call(self, command, pod, identity):
        if command == "ADD":
            self._next += 1
            self._index[identity] = self._next
            number = self._next - 1000
            words = ["add", f"/run/netns/{pod}", f"lx{self._next}", self._next,
                     f"10.234.{number // 200}.{number % 200 + 1}"]
        else:
            words = ["del", self._index.pop(identity)]
        done = json.loads(call(*inside(self.node, [*self._program, *map(str, words)])))
        return done["ns"] / 1e6, None


def host_local(system, name, subnets):
    return {"type": "host-local", "dataDir": str(system.folder("ipam") / name),
            "ranges": [[{"subnet": subnet}] for subnet in subnets],
            "routes": [{"dst": "::/0" if ":" in subnet else "0.0.0.0/0"} for subnet in subnets]}


def reference(kind, system, tools, node, subnets, mtu):
    """The reference plugins `ptp` and `bridge` of containernetworking."""
    config = {"cniVersion": "1.0.0", "name": node, "type": kind, "mtu": mtu, "ipMasq": False,
              "ipam": host_local(system, node, subnets)}
    if kind == "bridge":
        config.update(bridge="cni0", isGateway=True)
    return Plugin(system, tools, node, f"{PLUGINS}/{kind}", config)


def measure(system, subjects, pods, passes, progress):
    """ADD for `pods` pods of each subject, then DEL, interleaved; {name: {"ADD": [...], ...}}."""
    times = {name: {"ADD": [], "DEL": []} for name in subjects}
    shuffler = random.Random(1)
    for turn in range(passes):
        spaces = {name: [system.add_space(f"c-{name}-{number}")
                         for number in range(pods)] for name in subjects}
        for command in ("ADD", "DEL"):
            progress(f"CNI {command}, pass {turn + 1} of {passes}")
            for number in range(pods):
                for name in shuffler.sample(sorted(subjects), len(subjects)):
                    pod = spaces[name][number]
                    took, _ = subjects[name].call(command, pod, f"{pod}-{turn}")
                    times[name][command].append(took)
        for pod in (space for group in spaces.values() for space in group):
            system.remove_space(pod)
    return times


def summary(times):
    return {name: {f"{command}_{label}_ms": round(quantile(values, q), 3)
                   for command, values in commands.items()
                   for label, q in (("p50", 0.5), ("p99", 0.99))}
            for name, commands in times.items()}
