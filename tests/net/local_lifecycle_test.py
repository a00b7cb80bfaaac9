#!/usr/bin/env -S python3 -B
"""A local cluster's life by the command line: up, exec, logs, apply, scale, replace, delete, down,
whatever was killed before; bad input changes nothing; nothing is left behind."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_ROOT", Path(__file__).resolve().parents[2]))
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release"))
BIN = Path(os.environ.get("WEIR_BIN", BUILD / "bin"))
BASE = Path("/run/weir/local")
NAME, SECOND = "life-test", "life-test-2"
PATIENCE = 60
SKIP = 77

failures = []
folder = tempfile.TemporaryDirectory(prefix="weir-life-")

PODS = """
apiVersion: v1
kind: Namespace
metadata: {name: life}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: life}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: web
          args: [--http=8080, --tcp-echo=7, --udp-echo=7]
          env: [{name: SAY, value: "GREETING"}]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: life}
spec: {selector: {app: web}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: life}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 1
  containers:
    - name: shell
      command: [sh, -c, 'echo hello from $POD_NAME on $NODE_NAME; exec sleep 1000000']
"""

EXTRA = """
apiVersion: v1
kind: Pod
metadata: {name: extra, namespace: life}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers: [{name: c, command: [sh, -c, 'echo done']}]
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: life}
spec:
  hostNetwork: true
  nodeName: n0
  terminationGracePeriodSeconds: 1
  containers: [{name: c, args: [--http=9090], readinessProbe: {tcpSocket: {port: 9090}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: crash, namespace: life}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, command: [sh, -c, 'exit 3']}]
"""

BAD = {
    "broken YAML": "kind: [",
    "wrong type": PODS.replace("REPLICAS", "many"),
    "absurd size": PODS.replace("REPLICAS", "100000"),
    "too many in all": PODS.replace("REPLICAS", "256"),
    "duplicate name": EXTRA + "---" + EXTRA,
    "no such file": None,
}


def text_file(name, text):
    path = Path(folder.name) / name
    path.write_text(text)
    return path


def manifest(replicas=2, greeting="hello"):
    text = PODS.replace("REPLICAS", str(replicas)).replace("GREETING", greeting)
    return text_file("pods.yaml", text)


def weir(verb, *words, code=0, name=NAME):
    """Runs a verb; its stdout. exec's options come before the pod."""
    done = subprocess.run([BIN / "weir", verb, "--name", name, *map(str, words)], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * PATIENCE,
                          check=False)
    if code is not None:
        assert done.returncode == code, (verb, words, done.returncode, done.stdout, done.stderr)
    return done


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def claim(text):
    try:
        yield
        print(f"ok    {text}", flush=True)
    except (AssertionError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        failures.append(text)
        print(f"FAIL  {text}: {error!r}", flush=True)


def status(name=NAME):
    return json.loads((BASE / name / "status.json").read_text())


def pods(prefix="", name=NAME):
    return {p["name"]: p for p in status(name)["pods"] if p["name"].startswith(prefix)}


def in_pod(pod, *command, code=0):
    return weir("exec", f"life/{pod}", "--", *command, code=code).stdout


def on_terminal(typed, *command):
    """Runs exec on a terminal of its own, types once a line has come; all it shows, its status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(BIN / "weir", ["weir", "exec", "--name", NAME, "life/shell", "--", *command])
    shown = b""
    try:
        while b"\n" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, typed)
        with contextlib.suppress(OSError):  # EIO: everybody has closed it
            while more := os.read(terminal, 4096):
                shown += more
    finally:
        os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def traces():
    """All that a cluster makes, seen from outside."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    made = [path for path in mounts if "life-test" in path]
    for place in (BASE, Path("/run/netns"), Path("/sys/fs/cgroup/unified/weir"),
                  Path("/sys/fs/cgroup/weir")):
        if place.is_dir():
            made += [str(p) for p in place.iterdir() if "life-test" in p.name]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"life-test" in words or any(b"/life-test" in word for word in words):
                made.append(f"process {process.name}: {b' '.join(words).decode()}")
    return made


def nothing_left():
    wait_for(lambda: not traces(), f"nothing to be left: {traces()}")


def tells_help():
    listed = weir_help().split("Subcommands:\n")[1].split("\n\n")[0]
    verbs = [line.split()[0] for line in listed.splitlines() if line[2] != " "]
    assert {"up", "down", "exec", "logs", "apply", "delete", "status", "endpoints", "monitor",
            "capture", "version"} <= set(verbs), verbs
    for verb in verbs:
        with claim(f"{verb} has help with examples, and -o json"):
            said = weir_help(verb)
            assert "Examples:" in said, said
            assert verb == "completion" or "json  " in said.split("--output")[1], said


def weir_help(*verb):
    return subprocess.run([BIN / "weir", *verb, "--help"], text=True, capture_output=True,
                          check=True).stdout


def comes_up():
    with claim("up makes a cluster and says what it made"):
        said = weir("up", manifest()).stdout
        assert f"Cluster '{NAME}' is up: 2 nodes, 3 pods" in said, said
        for word in ("172.30.0.10", "fd00:30::b", "10.244.1.0/24", "life/shell", "192.0.2.1"):
            assert word in said, (word, said)
    with claim("pods of a Deployment are on different nodes"):
        assert {p["node"] for p in pods("web-").values()} == {"n0", "n1"}, pods()
    with claim("what is no name of a cluster is refused, also to take it down"):
        for verb, words in (("up", [manifest()]), ("down", [])):
            said = weir(verb, *words, code=2, name=f"../{NAME}").stderr
            assert f"cluster name '../{NAME}'" in said, said
    with claim("a second up of the same name is refused and changes nothing"):
        before = pods()
        assert "is up already" in weir("up", manifest(), code=1).stderr
        assert pods() == before


def is_a_pod():
    with claim("exec passes output and exit code"):
        assert in_pod("shell", "hostname") == "shell\n"
        in_pod("shell", "sh", "-c", "exit 42", code=42)
        in_pod("shell", "no-such-program", code=127)
        in_pod("no-such-pod", "true", code=3)
    with claim("exec -o json has the command's output and exit code"):
        done = weir("exec", "life/shell", "-o", "json", "--", "sh", "-c",
                    "echo out; echo err >&2; exit 3", code=3)
        assert json.loads(done.stdout) == {
            "namespace": "life", "pod": "shell", "container": "shell", "exit_code": 3,
            "stdout": "out\n", "stderr": "err\n"}, done
    with claim("what exec's command sends to its process group does not leave the pod"):
        done = subprocess.run([BIN / "weir", "exec", "--name", NAME, "life/shell", "--", "sh", "-c",
                               "kill -9 0"], start_new_session=True, check=False)
        assert done.returncode == 128 + signal.SIGKILL, done
    with claim("exec passes signals on"):
        with subprocess.Popen([BIN / "weir", "exec", "--name", NAME, "life/shell", "--", "sh", "-c",
                               "echo begun; exec sleep 1000"], stdout=subprocess.PIPE) as job:
            job.stdout.readline()
            job.send_signal(signal.SIGINT)
            assert job.wait(PATIENCE) == 128 + signal.SIGINT, job
    with claim("exec's command has the terminal: input, Ctrl-C"):
        shown, code = on_terminal(b"hello\n", "sh", "-c", "echo begun; read x; echo got $x")
        assert "got hello" in shown and code == 0, (shown, code)
        shown, code = on_terminal(b"\x03", "sh", "-c", "echo begun; exec sleep 1000")
        assert code == 128 + signal.SIGINT, (shown, code)
    with claim("exec runs with the container's environment"):
        assert in_pod("web", "sh", "-c", "echo $SAY $POD_NAMESPACE").split() == ["hello", "life"]
    with claim("a pod sees its own processes only"):
        seen = in_pod("shell", "sh", "-c", "ls -d /proc/[0-9]*").split()
        assert "/proc/1" in seen and len(seen) < 10, seen
    with claim("the file system is read-only, but for tmpfs"):
        in_pod("shell", "sh", "-c", "echo x >/etc/x", code=2)
        in_pod("shell", "mount", "-o", "remount,rw", "/", code=32)
        in_pod("shell", "sh", "-c", "for d in tmp run var; do echo x >/$d/x || exit 1; done")
        assert not Path("/tmp/x").exists() and not Path("/var/x").exists()
        in_pod("shell", "sh", "-c", "echo 1 >/proc/sys/kernel/sysrq", code=2)
    with claim("no pod holds mounts of the cluster's nodes"):
        seen = in_pod("shell", "cat", "/proc/self/mountinfo")
        assert " - bpf " not in seen and "nsfs" not in seen, seen
    with claim("/etc/hosts names pods and Services"):
        seen = in_pod("shell", "cat", "/etc/hosts")
        for name, pod in pods("web-").items():
            for address in pod["addresses"]:
                assert f"{address}\t{name} {name}.life" in seen, seen
        web = json.loads((BASE / NAME / "objects" / "Service" / "life" / "web.json").read_text())
        for address in web["spec"]["clusterIPs"]:
            assert f"{address}\tweb web.life web.life.svc" in seen, seen
    with claim("logs are the container's output"):
        assert weir("logs", "life/shell").stdout == "hello from shell on n1\n"
        assert "GET /healthz" not in weir("logs", "life/web").stdout
        assert json.loads(weir("logs", "life/shell", "-o", "json").stdout) == {
            "namespace": "life", "pod": "shell", "container": "shell",
            "line": "hello from shell on n1"}


def talks():
    names = sorted(pods("web-"))
    with claim("pods talk: same node and across, both families, HTTP, TCP and UDP"):
        for name in names:
            for address in pods()[name]["addresses"]:
                host = f"[{address}]" if ":" in address else address
                for url in (f"http://{host}:8080/", f"tcp://{host}:7", f"udp://{host}:7"):
                    in_pod("shell", "weir-pod-server", "--requests=3", "--rps=100", "--load", url)
    with claim("a Service's name leads to its pods"):
        in_pod("shell", "weir-pod-server", "--requests=10", "--rps=100", "--load=http://web:8080/")
    with claim("pods reach the world outside"):
        for address in ("192.0.2.1", "2001:db8::1"):
            in_pod("shell", "ping", "-c1", "-W5", address)


def changes():
    with claim("apply says what is created, configured and unchanged"):
        said = weir("apply", manifest(3), text_file("extra.yaml", EXTRA)).stdout.splitlines()
        for line in ("namespace life unchanged", "deployment life/web configured",
                     "pod life/extra created", "pod life/shell unchanged"):
            assert line in said, (line, said)
    with claim("scaling up keeps the pods that are there"):
        before = set(pods("web-"))
        wait_for(lambda: len(pods("web-")) == 3 and all(p["ready"] for p in pods("web-").values()),
                 "three pods")
        assert before <= set(pods("web-"))
    with claim("a hostNetwork pod has its node's addresses and is probed"):
        wait_for(lambda: pods()["host"]["ready"], "the pod to be ready")
        assert pods()["host"]["addresses"][0] == "172.30.0.10", pods()["host"]
    with claim("a pod that is to end once succeeds"):
        wait_for(lambda: pods()["extra"]["phase"] == "Succeeded", "the pod to succeed")
    with claim("a pod that ends is started again, and the status says why"):
        wait_for(lambda: pods()["crash"]["restarts"] >= 2, "restarts")
        assert "code 3" in pods()["crash"]["problem"] and not pods()["crash"]["ready"]
    with claim("delete removes pods and waits for it"):
        weir("delete", Path(folder.name) / "extra.yaml")
        assert {"host", "crash", "extra"}.isdisjoint(pods()), pods()
    with claim("a changed template replaces pods, with ready ones at any time"):
        old = set(pods("web-"))
        weir("apply", manifest(3, "ahoy"))
        fewest = [99]

        def replaced():
            now = pods("web-")
            fewest[0] = min(fewest[0], sum(p["ready"] for p in now.values()))
            return old.isdisjoint(now) and len(now) == 3 and all(p["ready"] for p in now.values())
        wait_for(replaced, "new pods")
        assert fewest[0] >= 2, fewest
        assert in_pod("web", "sh", "-c", "echo $SAY") == "ahoy\n"
    with claim("scaling down removes pods"):
        weir("apply", manifest(1, "ahoy"), "--wait", PATIENCE)
        assert len(pods("web-")) == 1
    with claim("-o json"):
        made = json.loads(weir("apply", manifest(1, "ahoy"), "-o", "json").stdout)
        assert {m["result"] for m in made} == {"unchanged"}, made


def bad_input():
    for what, text in BAD.items():
        with claim(f"apply refuses: {what}"):
            before = status()["revision"], sorted(pods())
            path = text_file("bad.yaml", text) if text else Path(folder.name) / "none.yaml"
            said = weir("apply", path, code=2)
            assert said.stderr.startswith("weir: ") and not said.stdout, said
            assert (status()["revision"], sorted(pods())) == before
        with claim(f"up refuses: {what}"):
            weir("up", path, name=SECOND, code=2)
            assert not [t for t in traces() if SECOND in t], traces()
    for words in (["--nodes", "0"], ["--nodes", "9"], ["--nodes", "x"], ["--family", "ipv5"],
                  ["--tunnel", "x"]):
        with claim(f"up refuses {' '.join(words)}"):
            assert weir("up", manifest(), *words, name=SECOND, code=None).returncode in (1, 2)
    for name in ("..", "A", "a" * 40):
        with claim(f"up refuses the name {name}"):
            weir("up", manifest(), name=name, code=2)
    with claim("up refuses a program that is not there, and undoes what a false one leaves"):
        weir("up", manifest(), "--agent", "/nonexistent", name=SECOND, code=3)
        said = weir("up", manifest(), "--agent", "/bin/false", "--wait", "1", name=SECOND, code=1)
        assert "agent does not answer" in said.stderr, said.stderr
        assert not [t for t in traces() if SECOND in t], traces()
    with claim("apply, exec, logs want a cluster"):
        for words in (["apply", manifest()], ["exec", "life/shell", "--", "true"],
                      ["logs", "life/shell"]):
            weir(*words, name="life-test-none", code=3)


NEVER_READY = """
apiVersion: v1
kind: Pod
metadata: {name: never}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, readinessProbe: {tcpSocket: {port: 9}}}]
"""


def is_late():
    with claim("up says why a pod is not ready in time, and the cluster stays"):
        said = weir("up", text_file("never.yaml", NEVER_READY), "--nodes", 1, "--wait", 2,
                    name=SECOND, code=1).stderr
        assert "container c: no good answer to its readiness probe, TCP port 9" in said, said
        assert pods(name=SECOND)["never"]["phase"] == "Running"
        weir("down", name=SECOND)


def second_cluster():
    with claim("up without objects makes a cluster without pods"):
        said = weir("up", text_file("empty.yaml", "# nothing yet\n"), "--nodes", 1, name=SECOND)
        assert "empty.yaml: has no objects" in said.stderr, said
        assert "1 node, 0 pods" in said.stdout, said
        weir("down", name=SECOND)
        assert not [t for t in traces() if SECOND in t], traces()
    with claim("a cluster's files may lie in a folder that is named from here"):
        where = ["--run-dir", os.path.relpath(Path(folder.name) / "clusters")]
        weir("up", manifest(1), "--wait", 10, *where, name=SECOND)
        weir("down", *where, name=SECOND)
        assert not (Path(folder.name) / "clusters").exists()
    with claim("a second cluster runs beside it and goes alone"):
        weir("up", manifest(1), "--tunnel", "none", "--family", "ipv4", name=SECOND)
        assert all(len(p["addresses"]) == 1 for p in pods(name=SECOND).values())
        weir("exec", "life/shell", "--", "weir-pod-server", "--requests=3",
             "--load=http://web:8080/", name=SECOND)
        weir("down", name=SECOND)
        assert not [t for t in traces() if SECOND in t], traces()
        talks()


def record(path):
    return json.loads((BASE / NAME / path).read_text())["pid"]


def agent_away():
    """Both nodes' agents are away while a pod of n1 goes and another comes."""
    with claim("pods that come and go while the agent is away are right once it is back"):
        for action in ("stop", "kill"):
            weir("local-agent", action, "n1")
            one = text_file("one.yaml", EXTRA.split("---")[1].replace("hostNetwork: true", "")
                            .replace("n0", "n1"))
            weir("apply", one)
            wait_for(lambda: "away" in pods().get("host", {"problem": ""})["problem"],
                     "the plugin's word")
            weir("local-agent", "start", "n1")
            wait_for(lambda: pods()["host"]["ready"], "the pod to be ready")
            weir("local-agent", action, "n1")
            weir("delete", one)
            assert "host" not in pods()
            weir("local-agent", "start", "n1")
            weir("apply", one, "--wait", PATIENCE)
            weir("delete", one)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    stat = Path(f"/proc/{pid}/stat")
    wait_for(lambda: not stat.exists() or ") Z " in stat.read_text(), f"the end of {pid}")


def goes_down():
    with claim("an agent that was killed comes back, and pods are as before"):
        before = {n: p["addresses"] for n, p in pods().items()}
        old = record("nodes/n0/agent.json")
        kill(old)
        wait_for(lambda: record("nodes/n0/agent.json") != old and
                 all(n["ready"] for n in status()["nodes"]), "the agent to be back")
        assert {n: p["addresses"] for n, p in pods().items()} == before
        talks()
    with claim("down after the controller and an agent were killed leaves nothing"):
        kill(record("controller.json"))
        kill(record("nodes/n1/agent.json"))
        weir("apply", manifest(), code=3)
        weir("down")
        nothing_left()
    with claim("down is idempotent"):
        assert "There is no" in weir("down").stdout
    with claim("down of a whole cluster leaves nothing, and ends its monitors"):
        weir("up", manifest(1))
        with subprocess.Popen([BIN / "weir", "monitor", "--name", NAME], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as monitor:
            monitor.stdout.readline()
            weir("down")
            monitor.stdout.read()
            assert monitor.wait(PATIENCE) == 3, monitor.returncode
        nothing_left()
    with claim("up that is interrupted undoes what it made"):
        up = subprocess.Popen([BIN / "weir", "up", "--name", NAME, manifest()],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for((BASE / NAME).exists, "the folder")
        up.send_signal(signal.SIGINT)
        assert up.wait(PATIENCE) == 130
        nothing_left()
    with claim("down after up was killed half-way leaves nothing"):
        up = subprocess.Popen([BIN / "weir", "up", "--name", NAME, manifest()],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for((BASE / NAME).exists, "the folder")
        up.kill()
        up.wait()
        weir("down")
        nothing_left()


def main():
    missing = [p for p in ("weir", "weir-agent", "weir-cni", "weir-pod-server")
               if not (BIN / p).exists()]
    if os.geteuid() != 0 or missing:
        print("skipped: " + (f"not built: {missing}" if missing else "needs root"))
        sys.exit(SKIP)
    try:
        for part in (tells_help, comes_up, is_a_pod, talks, changes, agent_away, bad_input,
                     is_late, second_cluster, goes_down):
            part()
    finally:
        for name in (NAME, SECOND):
            weir("down", name=name, code=None)
    sys.exit(1 if failures else 0)


main()
