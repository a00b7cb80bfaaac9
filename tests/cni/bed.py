"""A node and pods for CNI tests: namespaces of their own, weir-agent (or cni_node, which is the
same CNI side without a packet path), calls of the plugin, and what must not be left behind."""

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib_net import end_agent

ROOT = Path(os.environ.get("WEIR_ROOT", Path(__file__).resolve().parents[2]))
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release"))
BIN = Path(os.environ.get("WEIR_BIN", BUILD / "bin"))
PLUGIN = BIN / "weir-cni"
RANGES = {"ipv4": ["10.244.7.0/24"], "ipv6": ["fd00:7::/64"],
          "dual": ["10.244.7.0/24", "fd00:7::/64"]}
PATIENCE = 20
SKIP = 77

failures = []


def run(*command, check=True, **options):
    return subprocess.run([str(word) for word in command], check=check, text=True,
                          capture_output=True, **options)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE} s for {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def claim(text):
    """One line per claim; a failed one is told and the next is tried."""
    try:
        yield
        print(f"ok    {text}", flush=True)
    except (AssertionError, subprocess.CalledProcessError, KeyError, ValueError) as error:
        failures.append(text)
        output = getattr(error, "stderr", None) or ""
        print(f"FAIL  {text}: {error!r} {output}", flush=True)


def finish():
    sys.exit(1 if failures else 0)


def need(condition, what):
    if not condition:
        print(f"skipped: {what}")
        sys.exit(SKIP)


def equal(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


class Netns:
    """A named namespace that ends with the test."""

    count = 0

    def __init__(self):
        Netns.count += 1
        self.name = f"weircni{os.getpid()}n{Netns.count}"
        self.path = f"/run/netns/{self.name}"
        run("ip", "netns", "add", self.name)
        atexit.register(self.remove)

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)

    def ip(self, *words):
        return json.loads(run("ip", "-n", self.name, "-j", *words).stdout or "[]")

    def links(self):
        return {link["ifname"]: link for link in self.ip("link")}

    def do(self, *command, **options):
        return run("nsenter", f"--net={self.path}", *command, **options)


class Reply:
    def __init__(self, done):
        self.status = done.returncode
        self.text = done.stdout.decode()
        self.document = json.loads(self.text) if self.text else None

    def code(self):
        """The error's code; its document must have the shape that the specification wants."""
        assert self.status != 0, f"succeeded: {self.text}"
        assert {"cniVersion", "code", "msg"} <= set(self.document), self.text
        assert self.document["msg"], self.text
        return self.document["code"]


class Node:
    def __init__(self, kind="agent", family="dual", ranges=None):
        self.kind = kind
        self.ranges = ranges or RANGES[family]
        self.netns = Netns()
        self.folder = Path(tempfile.mkdtemp(prefix="weircni.", dir=os.environ.get("WEIR_TMP")))
        atexit.register(shutil.rmtree, self.folder, True)
        self.run_dir, self.state = self.folder / "run", self.folder / "state"
        self.log_path = self.folder / "log"
        self.process = None
        if kind == "agent":
            self.prepare_agent()
        atexit.register(self.stop, signal.SIGKILL)

    def prepare_agent(self):
        self.netns.do("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
        for link in ("lo", "up0", "up1"):
            self.netns.do("ip", "link", "set", link, "up")
        self.netns.do("ip", "addr", "add", "172.30.7.10/24", "dev", "up0")
        self.netns.do("ip", "addr", "add", "fd00:30::10/64", "dev", "up0", "nodad")
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n0"},
                "spec": {"podCIDR": self.ranges[0], "podCIDRs": self.ranges},
                "status": {"addresses": [{"type": "InternalIP", "address": "172.30.7.10"},
                                         {"type": "InternalIP", "address": "fd00:30::10"}]}}
        objects = self.folder / "objects" / "Node" / "_"
        objects.mkdir(parents=True)
        (objects / "n0.json").write_text(json.dumps(node))
        self.bpffs = self.folder / "bpf"
        self.bpffs.mkdir()
        run("mount", "-t", "bpf", "weircni", self.bpffs)
        atexit.register(run, "umount", self.bpffs, check=False)

    def command(self):
        if self.kind == "agent":
            return [BIN / "weir-agent", "--node", "n0", "--run-dir", self.run_dir, "--state-dir",
                    self.state, "--bpffs", self.bpffs, "--objects", self.folder / "objects",
                    "--device", "up0", "--socket-services", "false"]
        return [BUILD / "tests" / "cni_node", self.run_dir, self.state, "1450", *self.ranges]

    def start(self):
        with open(self.log_path, "a") as log:
            words = ["nsenter", f"--net={self.netns.path}", *self.command()]
            self.process = subprocess.Popen([str(word) for word in words], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        wait_for(self.serves, f"the node to serve: {self.log_path.read_text()}")
        return self

    def serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended: {self.log_path.read_text()}")
        return self.call("STATUS").status == 0

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return
        end_agent(self.process, how)
        self.process = None

    def config(self, version="1.0.0", **more):
        return {"cniVersion": version, "name": "weir", "type": "weir-cni",
                "runDir": str(self.run_dir), "stateDir": str(self.state), **more}

    def call(self, command, container="c1", netns="", ifname="eth0", config=None, args="",
             stdin=None):
        """One call of the plugin as a runtime makes it. None leaves a variable out."""
        variables = {"CNI_COMMAND": command, "CNI_CONTAINERID": container,
                     "CNI_NETNS": getattr(netns, "path", netns), "CNI_IFNAME": ifname,
                     "CNI_ARGS": args, "CNI_PATH": str(BIN)}
        environment = {key: value for key, value in variables.items() if value is not None}
        text = json.dumps(config or self.config()) if stdin is None else stdin
        done = subprocess.run([PLUGIN], env=environment, input=text.encode(), timeout=PATIENCE,
                              stdout=subprocess.PIPE, check=False)
        return Reply(done)

    def add(self, container, netns, **options):
        reply = self.call("ADD", container, netns, **options)
        assert reply.status == 0, f"ADD: {reply.text}\n{self.log_path.read_text()}"
        return reply.document

    def delete(self, container, netns="", **options):
        reply = self.call("DEL", container, netns, **options)
        assert reply.status == 0 and reply.text == "", f"DEL: {reply.text}"

    def endpoints(self):
        """What the packet path knows: pod addresses."""
        if self.kind != "agent":
            return sorted(path.name for path in (self.state / "endpoints").glob("[0-9]*"))
        pins = [path for path in self.bpffs.rglob("*") if path.name.startswith("weir_endpoint")]
        assert pins, f"no endpoint map is pinned in {self.bpffs}"
        done = run("bpftool", "-j", "map", "dump", "pinned", pins[0])
        return json.loads(done.stdout)

    def records(self):
        return [json.loads(path.read_text()) for path in (self.state / "sandboxes").glob("*")]

    def leftovers(self):
        """Everything that is still there of any pod."""
        found = [name for name in self.netns.links() if name.startswith("weir") and
                 name != "weir_vxlan"]
        for family in ("-4", "-6"):
            found += [route["dst"] for route in
                      self.netns.ip(family, "route", "show", "proto", "88")]
        found += [entry["dst"] for entry in self.netns.ip("neigh", "show", "nud", "permanent")
                  if entry["dev"] != "lo"]
        for folder in ("sandboxes", "cni-spool", "."):
            found += [path.name for path in (self.state / folder).glob("*")
                      if not path.is_dir() and path.name not in ("pools.json", "sysctls")]
            found += [path.name for path in (self.state / folder).glob(".*")]
        return found + [str(one) for one in self.endpoints()]

    def expect_clean(self, pod=None):
        equal(self.leftovers(), [])
        if pod is not None:
            equal(sorted(pod.links()), ["lo"])
