"""A cluster of `tests/cluster/cluster` for a test, and what tests do in it. Ends with the test."""

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_ROOT", Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(ROOT / "tests" / "net"))
import lib_lab  # noqa: E402
import lib_net  # noqa: E402

HERE = ROOT / "tests" / "cluster"
STATE = Path(os.environ.get("WEIR_K8S_CACHE", Path.home() / ".cache" / "weir-k8s")) / "state"
UNIFIED = Path("/sys/fs/cgroup/unified")
SKIP = 77
PATIENCE = 90  # pods on a busy machine
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"


def begin():
    """Skips where no cluster can be; a signal ends the test with everything cleaned up."""
    lib_lab.begin()
    if not Path("/sys/fs/cgroup/memory/cgroup.procs").exists():
        print("skipped: tests/cluster needs cgroup version 1 beside an empty version 2")
        sys.exit(SKIP)


def family_of(address):
    return 6 if ":" in address else 4


def url(address, port, path="hostname"):
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}/{path}"


class Place:
    """A network namespace and a cgroup: sockets made inside are that pod's or node's own."""

    def __init__(self, pid, cgroup, addresses):
        self.netns, self.cgroup = f"/proc/{pid}/ns/net", cgroup / "cgroup.procs"
        self.address = {family_of(address): address for address in addresses}

    @contextlib.contextmanager
    def inside(self):
        own = re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.M)[1]
        self.cgroup.write_text("0")
        try:
            with lib_net.inside(self.netns):
                yield
        finally:
            (UNIFIED / own / "cgroup.procs").write_text("0")


class Cluster:
    """Settings are those of `cluster`, as keywords: FAMILIES="ipv6"."""

    def __init__(self, **settings):
        self.nodes = [f"n{number}" for number in range(int(settings.get("NODES", 3)))]
        self.environment = dict(os.environ, **{name: str(value) for name, value in settings.items()})
        atexit.register(self.down)
        print(self.call("up").strip(), flush=True)

    def call(self, *words, text=None, check=True, patience=300):
        done = subprocess.run([HERE / "cluster", *map(str, words)], env=self.environment, text=True,
                              capture_output=True, input=text or "", check=False, timeout=patience)
        if check and done.returncode:
            raise AssertionError(f"cluster {' '.join(map(str, words))[:200]}: status "
                                 f"{done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def down(self):
        if STATE.exists():
            keep_logs(Path(sys.argv[0]).stem)
        self.call("down")

    def start(self, node, *words):
        """A process in a node's namespaces, its output on a pipe; a session of its own."""
        return subprocess.Popen([HERE / "cluster", "exec", node, *words], env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.STDOUT, start_new_session=True)

    def on(self, node, *words, **options):
        return self.call("exec", node, *words, **options)

    # --- objects ---------------------------------------------------------------------------------

    def kubectl(self, *words, **options):
        return self.call("kubectl", *words, **options)

    def apply(self, text):
        self.kubectl("apply", "-f", "-", text=text)

    def get(self, kind, name=None, *words):
        """An object; without name a list of them."""
        found = self.kubectl("get", kind, *([name] if name else []), *words, "-o", "json")
        return json.loads(found) if name else json.loads(found)["items"]

    def ready(self, *pods, patience=PATIENCE):
        self.kubectl("wait", "--for=condition=Ready", f"--timeout={patience}s",
                     *(f"pod/{pod}" for pod in pods), patience=patience + 10)

    def rolled_out(self, name, *words, patience=PATIENCE):
        self.kubectl("rollout", "status", name, f"--timeout={patience}s", *words,
                     patience=patience + 10)

    def pods(self, selector):
        """{node: pod} of pods that are not being deleted, one per node."""
        return {pod["spec"]["nodeName"]: pod for pod in self.get("pod", None, "-l", selector)
                if "deletionTimestamp" not in pod["metadata"]}

    # --- places ----------------------------------------------------------------------------------

    def place(self, pod):
        """Where a running pod is: {spec, status} as the API server has it."""
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        base = Path("/sys/fs/cgroup/memory/weir") / node
        for procs in base.glob(f"kubepods/**/pod{uid}/*/cgroup.procs"):
            pids = procs.read_text().split()
            cgroup = UNIFIED / procs.parent.relative_to("/sys/fs/cgroup/memory")
            if pids and cgroup.exists():
                return Place(pids[0], cgroup, [one["ip"] for one in pod["status"]["podIPs"]])
        raise AssertionError(f"pod {pod['metadata']['name']} has no process on {node}")

    def node_place(self, node):
        pid = (STATE / node / "init.pid").read_text().strip()
        return Place(pid, UNIFIED / "weir" / node, self.addresses(node))

    def addresses(self, node):
        return [one["address"] for one in self.get("node", node)["status"]["addresses"]
                if one["type"] == "InternalIP"]

    def daemon_pid(self, daemon, node):
        """In the node's own numbers; None while it does not run."""
        try:
            return int((STATE / node / f"{daemon}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def kill(self, daemon, node):
        """At once, as a crash would: the node starts it again."""
        init = (STATE / node / "init.pid").read_text().strip()
        space, inside = os.readlink(f"/proc/{init}/ns/pid"), str(self.daemon_pid(daemon, node))
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # ended meanwhile
                numbers = re.search(r"^NSpid:(.*)$", (entry / "status").read_text(), re.M)[1].split()
                if numbers[-1] == inside and os.readlink(entry / "ns/pid") == space:
                    os.kill(int(entry.name), signal.SIGKILL)
                    return
        raise AssertionError(f"{node} has no process of {daemon}")

    # --- Weir ------------------------------------------------------------------------------------

    def agent(self, node, target):
        """What a node's agent answers."""
        return json.loads(self._ask_agent(node, target))

    def flows(self, node):
        """Those that its agent remembers."""
        return [json.loads(line) for line in self._ask_agent(node, "/v1/flows").splitlines()]

    @staticmethod
    def _ask_agent(node, target):
        init = (STATE / node / "init.pid").read_text().strip()
        return lib_net.http_get(f"/proc/{init}/root/run/weir/agent.sock", target)

    def answers(self, node):
        """Its build's number, or None."""
        try:
            return self.agent(node, "/v1/version")["build_id"]
        except OSError:
            return None

    def attached(self, node):
        """Names of the pods that it serves."""
        return sorted(one["pod"] for one in self.agent(node, "/v1/endpoints"))

    def scheduled(self, node):
        """Names of a node's pods that are on the cluster's network."""
        return sorted(pod["metadata"]["name"] for pod in self.get(
            "pod", None, "-A", "--field-selector", f"spec.nodeName={node}")
            if not pod["spec"].get("hostNetwork"))

    def complaints(self, node):
        """Warnings and errors that its agent logged."""
        log = STATE / node / "weir-agent.log"
        if log.exists():
            text = log.read_text()
        else:
            weir = ("-n", "weir-system")
            found = self.get("pod", None, *weir, "--field-selector", f"spec.nodeName={node}")
            text = self.kubectl("logs", *weir, found[0]["metadata"]["name"])
        return [line for line in text.splitlines()
                if re.search(r" (error|warning|critical) ", line)]

    # --- asking ----------------------------------------------------------------------------------

    def fetch(self, asker, urls, seconds=5):
        """{url: what it answered, or None}. The asker is a pod's name, or @ and a node's."""
        script = "".join(
            f"body=$(curl -gsS --max-time {seconds} '{one}' 2>&1) && sign=+ || sign=-\n"
            "printf '%s%s\\n' \"$sign\" \"${body//$'\\n'/ }\"\n" for one in urls)
        where = ("exec", asker[1:]) if asker.startswith("@") else ("kubectl", "exec", asker, "--")
        lines = self.call(*where, "bash", "-c", script).splitlines()
        return {one: line[1:] if line[0] == "+" else None for one, line in zip(urls, lines)}


def keep_logs(name):
    """Of all nodes, into build/logs, where a failure's reader looks."""
    to = ROOT / "build" / "logs" / name
    shutil.rmtree(to, ignore_errors=True)
    for log in STATE.glob("*/*.log"):
        (to / log.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(log, to / log.parent.name)


def retried(condition, what, patience=30):
    """As wait_for, for conditions that cost a process each time."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {patience} s for {what}"
        time.sleep(0.3)
    return value
