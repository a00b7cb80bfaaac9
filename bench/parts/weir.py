"""One Weir node of the benchmark: a namespace with an uplink, an agent, perhaps a monitor."""

import dataclasses
import http.client
import json
import os
import signal
import socket
import time

from parts import cni
from parts.system import OTHER_CPU, Failed, call, run_in, wait_for

READY_SECONDS = 20
POLL_SECONDS = 0.001


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("agent", timeout=5)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def node_object(name, addresses, subnets):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "spec": {"podCIDR": subnets[0], "podCIDRs": subnets},
            "status": {"addresses": [{"type": "InternalIP", "address": one}
                                     for one in addresses]}}


@dataclasses.dataclass
class Site:
    """Where a node is: its namespace, and the objects of all nodes."""
    space: str
    nodes: list


def alone(system, name, subnets):
    """A namespace whose uplink leads to nobody."""
    space, world = system.add_space(f"{name}-n"), system.add_space(f"{name}-u")
    call("ip", "-n", world, "link", "add", "up0", "type", "veth", "peer", "name", "eth0",
         "netns", space)
    for one, link, number in ((world, "up0", 1), (space, "eth0", 10)):
        call("ip", "-n", one, "addr", "add", f"172.28.0.{number}/24", "dev", link)
        call("ip", "-n", one, "addr", "add", f"fd00:28::{number:x}/64", "dev", link, "nodad")
        call("ip", "-n", one, "link", "set", link, "up")
    call("ip", "-n", space, "route", "add", "default", "via", "172.28.0.1")
    call("ip", "-n", space, "-6", "route", "add", "default", "via", "fd00:28::1")
    families = {":" in subnet for subnet in subnets}
    addresses = [one for one in ("172.28.0.10", "fd00:28::a") if (":" in one) in families]
    return Site(space, [node_object(name, addresses, subnets)])


class Node:
    """`subnets`: pod ranges; `cgroup`: of the processes whose sockets are served, if any; `site`:
    none: alone. The agent is pinned off the traffic's CPU."""

    def __init__(self, system, tools, name, subnets, flags=(), cgroup=None, site=None):
        self._system, self._bin = system, tools.parent / "bin"
        self.name = name
        self._flags = [*flags, "--socket-services", "true" if cgroup else "false",
                       *(["--cgroup", cgroup] if cgroup else [])]
        site = site or alone(system, name, subnets)
        self.space = site.space
        for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            run_in(self.space, "sh", "-c", f"echo 1 >/proc/sys/net/{key}")
        self.folder = system.folder(name)
        self.run_dir = self.folder / "run"
        self._write_nodes(site.nodes)
        config = {"cniVersion": "1.0.0", "name": name, "type": "weir-cni",
                  "runDir": str(self.run_dir), "stateDir": str(self.folder / "state")}
        self.plugin = cni.Plugin(system, tools, self.space, self._bin / "weir-cni", config)
        self.agent = self._monitor = None

    def _write_nodes(self, nodes):
        folder = self.folder / "objects" / "Node" / "_"
        folder.mkdir(parents=True)
        for node in nodes:
            path = folder / f"{node['metadata']['name']}.json"
            path.write_text(json.dumps(node), encoding="utf-8")

    def start(self, cpu=OTHER_CPU):
        """Starts the agent and waits until it answers; seconds that took, and its status."""
        pins = self.folder / "bpf"
        if not pins.is_dir():
            for part in (self.run_dir, self.folder / "state", pins):
                part.mkdir(exist_ok=True)
            call("mount", "-t", "bpf", "bpf", pins)
        log = open(self.folder / "agent.log", "ab")
        with log:
            begun = time.monotonic()
            self.agent = self._system.start(
                [self._bin / "weir-agent", "--node", self.name, "--run-dir", self.run_dir,
                 "--state-dir", self.folder / "state", "--bpffs", pins / "weir",
                 "--objects", self.folder / "objects", *self._flags], self.space, cpu, log)
        status = wait_for(f"agent of {self.name}", self._answer, READY_SECONDS, POLL_SECONDS)
        return time.monotonic() - begun, status

    def _answer(self):
        if self.agent.poll() is not None:
            log = (self.folder / "agent.log").read_text(encoding="utf-8", errors="replace")
            raise Failed(f"weir-agent ended with {self.agent.returncode}: {log[-800:].strip()}")
        try:
            return self.get("/v1/status")
        except (OSError, http.client.HTTPException, Failed):
            return None

    def get(self, path):
        connection = UnixConnection(self.run_dir / "agent.sock")
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                raise Failed(f"{path}: {answer.status}")
            return json.loads(answer.read())
        finally:
            connection.close()

    def monitor(self):
        """`weir monitor` that writes all flows away."""
        self._monitor = self._system.start(
            [self._bin / "weir", "monitor", "--follow", "--socket", self.run_dir / "agent.sock"],
            self.space, OTHER_CPU)

    def watched(self):
        """What the monitor wrote and what it could not be told; it must have seen the traffic."""
        if self._monitor.poll() is not None:
            raise Failed(f"weir monitor ended with {self._monitor.returncode}")
        with open(f"/proc/{self._monitor.pid}/io", encoding="ascii") as file:
            written = int(dict(line.split(":") for line in file)["wchar"])
        if not written:
            raise Failed("weir monitor saw no flow")
        return {"monitor_bytes": written, "events_lost": self.get("/v1/status")["events_lost"]}

    def kill(self):
        self._system.stop(self.agent, signal.SIGKILL)

    def use_all_cpus(self, ahead):
        """As in production; `ahead`: before ordinary processes, like the plugins that are timed."""
        for task in map(int, os.listdir(f"/proc/{self.agent.pid}/task")):
            os.sched_setaffinity(task, range(os.cpu_count()))
            if ahead:
                os.sched_setscheduler(task, os.SCHED_FIFO, os.sched_param(10))

    def rss_mb(self):
        with open(f"/proc/{self.agent.pid}/status", encoding="utf-8") as file:
            line = next(line for line in file if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def verified_instructions(self):
        """{program: instructions the verifier walked}, of the programs the agent holds."""
        found = {}
        folder = f"/proc/{self.agent.pid}/fdinfo"
        for entry in os.listdir(folder):
            try:
                with open(f"{folder}/{entry}", encoding="utf-8") as file:
                    facts = dict(line.split(":", 1) for line in file if ":" in line)
            except FileNotFoundError:
                continue
            if "verified_insns" in facts:
                found[int(facts["prog_id"])] = int(facts["verified_insns"])
        if not found:
            return {}
        names = {one["id"]: one["name"] for one in json.loads(call("bpftool", "prog", "show", "-j"))
                 if "name" in one}
        return {names.get(number, str(number)): count for number, count in sorted(found.items())}
