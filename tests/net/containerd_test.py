#!/usr/bin/env -S python3 -B
"""Debian's containerd and runc start, stop, restart and crash containers whose network weir-cni makes;
containerd itself is restarted and killed meanwhile. Without Kubernetes: `ctr run --cni`."""

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lib_lab
import lib_net
from lib_lab import BIN, Lab, claim, equal
from lib_net import PATIENCE, run, wait_for
from lib_traffic import Traffic, flows_on, no_loss

CLAIMS = 9
FORGETS_SECONDS = 30  # the agent looks for dead sandboxes every 10 s
# go-cni looks for networks and plugins at fixed places: those of this process alone
PLACES = """mount -t tmpfs tmpfs /etc && mkdir -p /etc/cni/net.d && cp "$1" /etc/cni/net.d/
mount -t tmpfs tmpfs /opt && mkdir -p /opt/cni/bin && mount --bind "$2" /opt/cni/bin
shift 2
exec "$@"
"""


class Containerd:
    def __init__(self, node):
        self.node, self.process = node, None
        self.folder = node.folder / "containerd"
        self.folder.mkdir()
        self.socket = self.folder / "sock"
        self.root = self.make_root()
        self.network = self.folder / "10-weir.conflist"
        plugin = {"type": "weir-cni", "runDir": str(node.run_dir), "stateDir": str(node.state)}
        self.network.write_text(json.dumps({"cniVersion": "1.0.0", "name": "weir",
                                            "plugins": [plugin]}))
        (self.folder / "config.toml").write_text(f"""version = 2
root = "{self.folder}/root"
state = "{self.folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt",
                    "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "{self.socket}"
[ttrpc]
address = "{self.folder}/ttrpc"
""")
        atexit.register(self.end_all)

    def make_root(self):
        """Of all containers: busybox, and the folders that runc mounts at."""
        root = self.folder / "rootfs"
        for name in ("bin", "proc", "sys", "dev", "run", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
        return root

    def start(self):
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                ["containerd", "--config", self.folder / "config.toml"], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=lib_net.die_with_parent)
        wait_for(lambda: self.ctr("version", check=False).returncode == 0, "containerd")

    def stop(self, how="terminate"):
        getattr(self.process, how)()
        self.process.wait(PATIENCE)

    def words(self, *words):
        return ["ctr", "--address", self.socket, *words]

    def ctr(self, *words, check=True):
        return run(*self.words(*words), check=check)

    def launch(self, name, *flags):
        """ctr, which sets up the container's network, and with --rm stays to take it down."""
        words = self.words("run", *flags, "--cni", "--rootfs", "--null-io", "--cgroup", "", self.root,
                           name, "/bin/busybox", "sleep", "100000")
        return subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", PLACES, "sh", *map(str, (self.network, BIN, *words))],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=lib_net.die_with_parent)

    def begin(self, name):
        job = self.launch(name, "--detach")
        said = job.communicate(timeout=PATIENCE)[0]
        equal(job.returncode, 0, said)
        return Container(self, name)

    def tasks(self):
        lines = self.ctr("task", "ls").stdout.splitlines()[1:]
        return {words[0]: words[2] for words in map(str.split, lines)}

    def forget(self, name):
        """Whatever of it is there."""
        self.ctr("task", "kill", "--signal", "KILL", name, check=False)
        self.ctr("task", "delete", "--force", name, check=False)
        self.ctr("container", "delete", name, check=False)

    def end_all(self):
        """No shim outlives the test."""
        if self.process is None:
            return
        try:
            if self.process.poll() is not None:
                self.start()
            for name in self.ctr("container", "ls", "--quiet").stdout.split():
                self.forget(name)
            self.stop()
        finally:
            for pid in self.shims():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def shims(self):
        """Also those that a containerd that was killed had begun, and no other knows of."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"containerd-shim-runc-v2") and str(self.socket).encode() in words:
                    yield int(folder.name)


class Container:
    """One that runs: its network namespace as Traffic wants it."""

    def __init__(self, containerd, name):
        self.containerd, self.name = containerd, name
        lines = containerd.ctr("task", "ls").stdout.splitlines()[1:]
        self.pid = next(int(words[1]) for words in map(str.split, lines) if words[0] == name)
        self.path = f"/proc/{self.pid}/ns/net"
        addresses = json.loads(run("nsenter", f"--net={self.path}", "ip", "-j", "addr", "show", "dev",
                                   "eth0").stdout)[0]["addr_info"]
        self.address = {6 if one["family"] == "inet6" else 4: one["local"] for one in addresses
                        if one["scope"] == "global"}

    def inside(self):
        return lib_net.inside(self.path)

    def kill(self):
        self.containerd.ctr("task", "kill", "--signal", "KILL", self.name)


def pod_links(node):
    return [name for name in node.links() if name.startswith("weir") and name != "weir_vxlan"]


def settled(node, count):
    wait_for(lambda: len(node.get("/v1/endpoints")) == len(pod_links(node)) == count,
             f"{count} endpoints and links", FORGETS_SECONDS)


def life(lab, containerd):
    node = lab.a
    with claim("containers that start have the node's addresses, and reach each other"):
        first, second = containerd.begin("first"), containerd.begin("second")
        for one in (first, second):
            equal(sorted(one.address), [4, 6], one.address)
        traffic = Traffic(pairs(first, second))
        flows_on(traffic, "between containers")
        no_loss(traffic.end())
    with claim("one that is stopped is taken down by its runtime: nothing of it is left at once"):
        job = containerd.launch("brief", "--rm")
        wait_for(lambda: len(node.get("/v1/endpoints")) == 3, "the third container")
        wait_for(lambda: containerd.tasks().get("brief") == "RUNNING", "its task")
        containerd.ctr("task", "kill", "--signal", "KILL", "brief")
        job.communicate(timeout=PATIENCE)
        equal(len(node.get("/v1/endpoints")), 2, "endpoints")
        equal(len(pod_links(node)), 2, "links")
    with claim("it starts again under the same name"):
        again = containerd.begin("brief")
        equal(len(node.get("/v1/endpoints")), 3, "endpoints")
        again.kill()
    with claim("one that crashes, and nobody says so: it is forgotten"):
        settled(node, 2)
        containerd.forget("brief")
    return first, second


def pairs(first, second):
    return [(f"IPv{family}", first, second, family, second.address[family]) for family in (4, 6)]


def restarts(lab, containerd, first, second):
    node = lab.a
    traffic = Traffic(pairs(first, second))
    flows_on(traffic, "at first")
    with claim("containerd is restarted: traffic goes on, and containers start"):
        containerd.stop()
        flows_on(traffic, "without containerd")
        containerd.start()
        equal(containerd.tasks(), {"first": "RUNNING", "second": "RUNNING"})
        containerd.begin("third")
        equal(len(node.get("/v1/endpoints")), 3, "endpoints")
    with claim("containerd is killed while containers start and stop: traffic goes on"):
        jobs = [containerd.launch(f"late-{number}", "--detach") for number in range(6)]
        wait_for(lambda: len(node.get("/v1/endpoints")) > 3, "the first of them")
        containerd.ctr("task", "kill", "--signal", "KILL", "third")
        containerd.stop("kill")
        for job in jobs:
            job.communicate(timeout=PATIENCE)
        flows_on(traffic, "without containerd")
    with claim("after it, what runs has its network, and what does not has none"):
        containerd.start()
        running = [name for name, state in containerd.tasks().items() if state == "RUNNING"]
        for name in containerd.ctr("container", "ls", "--quiet").stdout.split():
            if name not in ("first", "second"):
                containerd.forget(name)
        assert len(running) >= 2, running
        settled(node, 2)
        containerd.begin("last")
        settled(node, 3)
    with claim("no packet between two that ran all the time was lost"):
        no_loss(traffic.end())
    with claim("the last container goes, and nothing is left"):
        for name in ("first", "second", "last"):
            containerd.forget(name)
        settled(node, 0)


def main():
    lib_lab.begin()
    for program in ("containerd", "ctr", "runc", "busybox"):
        if shutil.which(program) is None:
            print(f"skipped: {program} is not installed (tools/setup installs it)")
            sys.exit(lib_lab.SKIP)
    lab = Lab()
    containerd = Containerd(lab.a)
    containerd.start()
    first, second = life(lab, containerd)
    restarts(lab, containerd, first, second)
    lib_lab.finish(CLAIMS)


main()
