"""A lab for net tests: nodes and pods as network namespaces on one machine, each node with its own
weir-agent, pods made by weir-cni as a runtime makes them. Sockets of all of them live in the test's
own process (lib_net.inside), so that nothing but packets lies between them.

  net ── bridge 172.30.0.1, fd00:30::1; the world: 192.0.2.1, 2001:db8::1
   ├── node a  172.30.0.10, fd00:30::10   pods 10.244.0.0/24, fd00:244:0:0::/64
   └── node b  172.30.0.11, fd00:30::11   pods 10.244.1.0/24, fd00:244:0:1::/64
"""

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from ipaddress import IPv6Address
from pathlib import Path

import lib_net
from lib_net import PATIENCE, end_agent, run, wait_for

ROOT = Path(os.environ.get("WEIR_ROOT", Path(__file__).resolve().parents[2]))
BIN = Path(os.environ.get("WEIR_BIN", ROOT / "build" / "release" / "bin"))
GATEWAY = {4: "172.30.0.1", 6: "fd00:30::1"}
WORLD = {4: "192.0.2.1", 6: "2001:db8::1"}
SKIP = 77

failures = []
checked = 0


@contextlib.contextmanager
def claim(text):
    """One line per claim; a failed one is told and the next is tried."""
    global checked
    checked += 1
    try:
        yield
        print(f"ok    {text}", flush=True)
    except (AssertionError, OSError, subprocess.SubprocessError, LookupError,
            ValueError) as error:
        failures.append(text)
        notes = getattr(error, "__notes__", None) or [getattr(error, "stderr", None) or ""]
        print(f"FAIL  {text}: {error!r}", *notes, flush=True)


def equal(found, wanted, what=""):
    assert found == wanted, f"{what} found {found!r}, wanted {wanted!r}"


def raw_bytes(digits):
    return bytes(int(digit, 16) for digit in digits)


def finish(least=1):
    """REQUIRES: all claims are through. Fewer than `least` of them is a failure of the test."""
    if checked < least:
        print(f"FAIL  {checked} checks, there should be {least}")
        sys.exit(1)
    print(f"{checked - len(failures)} of {checked} checks passed")
    sys.exit(1 if failures else 0)


def begin():
    """Skips where the test cannot run; a signal ends it with everything cleaned up."""
    for missing in (name for name in ("weir-agent", "weir-cni") if not (BIN / name).exists()):
        print(f"skipped: {BIN / missing} is not built")
        sys.exit(SKIP)
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(SKIP)
    if not os.path.ismount("/run/netns"):  # `ip netns add` makes it one; it ends after all else
        atexit.register(run, "umount", "/run/netns", check=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))


class Namespace:
    """A named network namespace."""

    made = 0

    def __init__(self, name):
        Namespace.made += 1
        self.name = f"wl{os.getpid()}-{Namespace.made}-{name}"
        self.path = f"/run/netns/{self.name}"
        run("ip", "netns", "add", self.name)
        atexit.register(self.remove)
        with self.inside():
            for path in ("ipv6/conf/default/accept_dad", "ipv6/conf/all/accept_dad",
                         "ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter"):
                Path("/proc/sys/net", path).write_text("0")
        self.ip("link", "set", "lo", "up")

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)

    def inside(self):
        return lib_net.inside(self.path)

    def ip(self, *words):
        return run("ip", "-n", self.name, *words).stdout

    def json(self, *words):
        return json.loads(run("ip", "-n", self.name, "-j", *words).stdout or "[]")

    def links(self):
        return {link["ifname"]: link for link in self.json("link")}


class Pod(Namespace):
    """runtime: what the runtime tells the plugin by its capabilities."""

    def __init__(self, lab, node, name, annotations=None, runtime=None):
        super().__init__(f"p-{name}")
        self.lab, self.node, self.pod, self.container = lab, node, name, name
        self.runtime = runtime or {}
        self.annotations = annotations or {}
        self.key = f"lab/{name}"
        self.address = {}

    def call(self, command, under=(), **options):
        """The plugin as a runtime calls it; under: words of what runs it."""
        node = self.node
        config = {"cniVersion": "1.0.0", "name": "weir", "type": "weir-cni",
                  "runDir": str(node.run_dir), "stateDir": str(node.state),
                  "runtimeConfig": self.runtime}
        environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": self.container,
                       "CNI_IFNAME": "eth0", "CNI_NETNS": self.path, "CNI_PATH": str(BIN),
                       "CNI_ARGS": f"K8S_POD_NAMESPACE=lab;K8S_POD_NAME={self.pod}"}
        with node.inside():
            return subprocess.run([*under, BIN / "weir-cni"], env=environment, text=True,
                                  input=json.dumps(config), capture_output=True,
                                  timeout=PATIENCE, check=False, **options)

    def cni(self, command, code=0):
        """None as code: any answer. Gives the plugin's status and document, or None."""
        done = self.call(command)
        if code is not None and (done.returncode == 0) != (code == 0):
            raise AssertionError(f"{command} {self.pod}: {done.stdout} {done.stderr} "
                                 f"{self.node.log_end()}")
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None

    def attach(self):
        """Its object stays unknown."""
        _, result = self.cni("ADD")
        self.address = {6 if ":" in ip["address"] else 4: ip["address"].split("/")[0]
                        for ip in result["ips"]}
        return self

    def add(self):
        self.attach()
        self.lab.write_pod(self)
        return self

    def delete(self):
        self.cni("DEL")
        self.lab.forget_pod(self)

    def mtu(self):
        return self.links()["eth0"]["mtu"]


class Agent:
    """What a node's agent tells. REQUIRES: run_dir."""

    def get(self, target):
        return json.loads(lib_net.http_get(self.run_dir / "agent.sock", target))

    def status(self):
        return self.get("/v1/status")

    def flows(self, query="last=10000"):
        text = lib_net.http_get(self.run_dir / "agent.sock", f"/v1/flows?{query}")
        return [json.loads(line) for line in text.splitlines() if line]

    def drops(self, hook, reason):
        totals = next(one for one in self.status()["hooks"] if one["hook"] == hook)
        return sum(drop["packets"] for drop in totals["drops"] if drop["reason"] == reason)


class Node(Namespace, Agent):
    def __init__(self, lab, name, index):
        super().__init__(name)
        self.lab, self.node, self.process = lab, name, None
        self.agent = BIN / "weir-agent"
        self.address = {4: f"172.30.0.{10 + index}", 6: f"fd00:30::{10 + index}"}
        self.ranges = [f"10.244.{index}.0/24", f"fd00:244:0:{index}::/64"]
        self.unused = {4: f"10.244.{index}.250", 6: str(IPv6Address(f"fd00:244:0:{index}::fa11"))}
        self.folder = lab.folder / name
        self.run_dir, self.state = self.folder / "run", self.folder / "state"
        self.bpffs = self.folder / "bpf"
        self.log = self.folder / "log"
        for folder in (self.run_dir, self.state, self.bpffs):
            folder.mkdir(parents=True)
        run("mount", "-t", "bpf", "bpf", self.bpffs)
        atexit.register(run, "umount", self.bpffs, check=False)
        self.cgroup = lib_net.Cgroup(self.name)
        atexit.register(self.cgroup.remove)
        atexit.register(self.stop, signal.SIGKILL)
        self.ip("link", "add", "eth0", "type", "veth", "peer", "name", f"v{name}", "netns",
                lab.net.name)
        lab.net.ip("link", "set", f"v{name}", "master", "br0", "up")
        self.ip("addr", "add", f"{self.address[4]}/24", "dev", "eth0")
        self.ip("addr", "add", f"{self.address[6]}/64", "dev", "eth0", "nodad")
        self.ip("link", "set", "eth0", "up")
        self.ip("route", "add", "default", "via", GATEWAY[4])
        self.ip("-6", "route", "add", "default", "via", GATEWAY[6])
        lab.write("Node", "_", name, {"spec": {"podCIDR": self.ranges[0], "podCIDRs": self.ranges},
                                      "status": {"addresses": [
                                          {"type": "InternalIP", "address": address}
                                          for address in self.address.values()]}})

    def command(self, *arguments):
        """None as value: without the flag."""
        options = {"--node": self.node, "--run-dir": self.run_dir, "--state-dir": self.state,
                   "--bpffs": self.bpffs / "weir", "--objects": self.lab.objects,
                   "--device": "eth0", "--cgroup": self.cgroup.path}
        repeated = []
        for flag, value in zip(arguments[::2], arguments[1::2]):
            if flag in ("--service-cidr", "--non-masquerade-cidr"):
                repeated += [flag, value]
            else:
                options[flag] = value
        if "--kubeconfig" in options:
            del options["--objects"]
        words = [word for pair in options.items() if pair[1] is not None for word in pair] + repeated
        return [str(word) for word in ("nsenter", f"--net={self.path}", self.agent, *words)]

    def launch(self, *arguments, under=(), **options):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([*under, *self.command(*arguments)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL,
                                            preexec_fn=lib_net.die_with_parent, **options)

    def start(self, *arguments):
        arguments = arguments or self.lab.arguments
        self.launch(*arguments)
        self.await_serving()
        return self

    def await_serving(self):
        wait_for(self.serves, f"the agent of {self.node} to serve")

    def serves(self):
        assert self.process.poll() is None, f"the agent of {self.node} ended: {self.log_end()}"
        with contextlib.suppress(OSError, ValueError):
            return self.get("/v1/version")["node"] == self.node
        return False

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return
        end_agent(self.process, how)
        self.process = None

    def cpu_ms(self):
        """CPU time of the agent so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6

    def log_end(self):
        return self.log.read_text()[-1500:] if self.log.exists() else ""

    def pins(self):
        return sorted(str(path.relative_to(self.bpffs)) for path in self.bpffs.rglob("*")
                      if not path.is_dir())

    def map(self, name):
        """All of a pinned map: key bytes -> value bytes. An element that goes while bpftool reads
        has {"error": ...} as its value."""
        pin = next(path for path in self.bpffs.rglob(name))
        rows = json.loads(run("bpftool", "-j", "map", "dump", "pinned", pin).stdout)
        return {raw_bytes(row["key"]): raw_bytes(row["value"]) for row in rows
                if "key" in row and isinstance(row["value"], list)}

    def attached(self):
        """Pinned link -> id of the program behind it."""
        return {path.name: json.loads(run("bpftool", "-j", "link", "show", "pinned",
                                          path).stdout)["prog_id"]
                for path in sorted((self.bpffs / "weir").rglob("*")) if not path.is_dir() and
                path.name.startswith(("in-", "out-"))}


class Lab:
    """REQUIRES: begin() was called. Ends with the test."""

    def __init__(self, tunnel="vxlan", arguments=()):
        """arguments: flags and values of the agents."""
        self.folder = Path(tempfile.mkdtemp(prefix="weirlab.", dir=os.environ.get("WEIR_TMP")))
        atexit.register(shutil.rmtree, self.folder, True)
        self.objects = self.folder / "objects"
        self.arguments = ("--tunnel", "true" if tunnel == "vxlan" else "false",
                          *arguments)
        self.net = Namespace("net")
        self.net.ip("link", "add", "br0", "type", "bridge")
        for family, bits in ((4, 24), (6, 64)):
            nodad = ["nodad"] if family == 6 else []
            self.net.ip("addr", "add", f"{GATEWAY[family]}/{bits}", "dev", "br0", *nodad)
            self.net.ip("addr", "add", f"{WORLD[family]}/{32 if family == 4 else 128}", "dev", "lo",
                        *nodad)
        self.net.ip("link", "set", "br0", "up")
        self.a, self.b = Node(self, "a", 0), Node(self, "b", 1)
        self.nodes = [self.a, self.b]
        for node in self.nodes:
            node.launch(*self.arguments)
        for node in self.nodes:
            node.await_serving()

    def pod(self, node, name, annotations=None):
        return Pod(self, node, name, annotations).add()

    def write(self, kind, namespace, name, body):
        folder = self.objects / kind / namespace
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {"name": name} | ({} if namespace == "_" else {"namespace": namespace})
        text = json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata, **body})
        (folder / f".{name}").write_text(text)
        (folder / f".{name}").rename(folder / f"{name}.json")

    def write_pod(self, pod, ports=()):
        addresses = [{"ip": address} for address in pod.address.values()]
        self.write("Pod", "lab", pod.pod, {
            "metadata": {"name": pod.pod, "namespace": "lab", "annotations": pod.annotations},
            "spec": {"nodeName": pod.node.node, "containers": [{"name": "c", "image": "none",
                                                                    "ports": list(ports)}]},
            "status": {"phase": "Running", "podIP": addresses[0]["ip"], "podIPs": addresses,
                       "hostIP": pod.node.address[4]}})

    def forget_pod(self, pod):
        (self.objects / "Pod" / "lab" / f"{pod.pod}.json").unlink(missing_ok=True)

    def end(self):
        """Takes the lab down before the test ends, for another to be made."""
        for node in self.nodes:
            node.stop()
