#!/usr/bin/env -S python3 -B
"""Pods of a local cluster change and end as a kubelet and a Deployment controller have it: rolling
updates within their bounds, preStop, SIGTERM and the grace period, several containers in a pod."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "testing"))

from processes import become_subreaper
from lib_lab import begin, claim, equal, finish
from lib_local import Bed
from lib_net import wait_for

DEPLOYMENT = """
apiVersion: v1
kind: Namespace
metadata: {{name: lab}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: lab}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: lab}}
spec:
  replicas: {replicas}
  {rest}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web, version: {version}}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: web
          args: [--http=8080]
          readinessProbe: {probe}
"""
READY = "{httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}"
NEVER = "{exec: {command: ['false']}, periodSeconds: 1}"

ENDING = """---
apiVersion: v1
kind: Service
metadata: {name: ending, namespace: lab}
spec: {selector: {app: ending}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ending, namespace: lab, labels: {app: ending}}
spec:
  nodeName: n0
  terminationGracePeriodSeconds: 30
  containers:
    - name: server
      args: [--http=8080]
      readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
      lifecycle: {preStop: {exec: {command: [sh, -c, 'until [ -e /tmp/go ]; do sleep 0.05; done']}}}
    - name: sidecar
      command: [bash, -c]
      args: ['trap "echo got TERM; until [ -e /tmp/go ]; do sleep 0.05; done; exit 0" TERM;
        echo up; while :; do sleep 1 & wait $!; done']
"""

STUBBORN = """---
apiVersion: v1
kind: Pod
metadata: {name: stubborn, namespace: lab}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      command: [bash, -c, 'trap "" TERM; while :; do sleep 1; done']
      lifecycle: {preStop: {exec: {command: [sleep, '1000']}}}
"""

TWO = """---
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: lab}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: steady
      args: [--http=8080]
    - name: crashing
      command: [bash, -c, 'echo turn; sleep 1234 & sleep 0.2; exit 3']
"""

SLOW = """---
apiVersion: v1
kind: Pod
metadata: {name: slow, namespace: lab}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      command: [sleep, '1000']
      readinessProbe: {exec: {command: [sh, -c, 'echo asked >> /tmp/asked; exec sleep 1001']}}
"""

bed = Bed("rollout")


def deployment(replicas=3, version="one", probe=READY, rest=""):
    return DEPLOYMENT.format(replicas=replicas, version=version, probe=probe, rest=rest)


def strategy(surge, unavailable):
    return (f"strategy: {{rollingUpdate: {{maxSurge: {surge}, maxUnavailable: {unavailable}}}}}")


def alive():
    return [p for p in bed.pods("web-").values() if not p["terminating"]]


def roll(text, done, what):
    """The most pods alive and the fewest ready until `done`."""
    most, fewest = 0, 99
    bed.apply(text)

    def finished():
        nonlocal most, fewest
        now = alive()
        most, fewest = max(most, len(now)), min(fewest, sum(p["ready"] for p in now))
        return done()
    wait_for(finished, what, 60)
    return most, fewest


def replaced(old, replicas):
    def done():
        now = bed.pods("web-")
        return old.isdisjoint(now) and len(now) == replicas and all(
            p["ready"] for p in now.values())
    return done


def rolls():
    for version, surge, unavailable, bounds in (
            ("two", 1, 0, (4, 3)), ("three", 0, 1, (3, 2)), ("four", "100%", "0%", (6, 3))):
        with claim(f"a rolling update with maxSurge {surge}, maxUnavailable {unavailable}"):
            old = set(bed.pods("web-"))
            most, fewest = roll(deployment(3, version, READY, strategy(surge, unavailable)),
                                replaced(old, 3), "new pods")
            assert most <= bounds[0] and fewest >= bounds[1], (most, fewest)
    with claim("readiness gates it: with pods that never are ready, the old ones stay"):
        old = set(bed.pods("web-"))
        bed.apply(deployment(3, "bad", NEVER))
        wait_for(lambda: len(bed.pods("web-")) == 4, "the first new pod")
        new = next(iter(set(bed.pods("web-")) - old))
        wait_for(lambda: bed.pods()[new]["phase"] == "Running", "it to run")
        equal(len([p for p in alive() if p["ready"]]), 3)
        ready = [e for e in bed.endpoints("lab", "web") if e["conditions"]["ready"]]
        equal(len(ready), 3 * len({s["addressType"] for s in bed.slices("lab", "web")}))
        assert old <= set(bed.pods("web-")), (old, bed.pods("web-"))
    with claim("a rollback keeps the pods that are there"):
        bed.apply(deployment(3, "four", READY, strategy("100%", "0%")), "--wait", 60)
        equal(set(bed.pods("web-")), old)
    with claim("minReadySeconds holds the next step back"):
        began = time.monotonic()
        bed.apply(deployment(2, "five", READY, "minReadySeconds: 2\n  " + strategy(1, 0)),
                  "--wait", 60)
        assert time.monotonic() - began > 3, "two pods, one after the other"
    with claim("Recreate: no old pod is alive when a new one begins"):
        old = set(bed.pods("web-"))
        together = []

        def done():
            names = set(bed.pods("web-"))
            together.append(bool(names & old) and bool(names - old))
            return replaced(old, 2)()
        bed.apply(deployment(2, "six", READY, "strategy: {type: Recreate}"))
        wait_for(done, "new pods", 60)
        assert not any(together)


def ends():
    bed.apply(ENDING, "--wait", 60)
    pod = bed.pods()["ending"]
    address = pod["addresses"][0]
    with claim("while preStop runs, the endpoint serves and terminates, and is not ready"):
        bed.delete(ENDING.split("---")[2], "--wait", "0")
        wait_for(lambda: bed.pods()["ending"]["terminating"], "termination")
        conditions = wait_for(lambda: [e["conditions"] for e in bed.endpoints("lab", "ending")
                                       if e["conditions"]["terminating"]], "the endpoint")[0]
        equal(conditions, {"ready": False, "serving": True, "terminating": True})
    with claim("its network stays: it answers"):
        bed.run_in("lab/web", "weir-pod-server", "--requests=3", "--rps=50",
                   f"--load=http://{address}:8080/")
    with claim("a container without preStop gets SIGTERM at once, and is not started again"):
        wait_for(lambda: "got TERM" in bed.weir("logs", "-c", "sidecar", "lab/ending").stdout,
                 "the sidecar's word")
        equal(bed.weir("logs", "-c", "sidecar", "lab/ending").stdout.count("up\n"), 1)
    with claim("after preStop it ends, and its endpoint goes"):
        bed.run_in("lab/ending", "touch", "/tmp/go")
        wait_for(lambda: "ending" not in bed.pods(), "the pod to go", 10)
        wait_for(lambda: not bed.endpoints("lab", "ending"), "the endpoint to go")
    with claim("who heeds neither preStop's end nor SIGTERM is killed after the grace period"):
        bed.apply(STUBBORN, "--wait", 60)
        began = time.monotonic()
        bed.delete(STUBBORN, "--wait", "30")
        took = time.monotonic() - began
        assert 1 <= took < 15, took


def shares():
    bed.apply(TWO)
    with claim("containers share the pod's network, each has its own log"):
        wait_for(lambda: "two" in bed.pods() and bed.pods()["two"]["restarts"] >= 2, "restarts", 30)
        bed.run_in("lab/two", "weir-pod-server", "--requests=1",
                   "--load=http://127.0.0.1:8080/", container="crashing")
        said = bed.weir("logs", "-c", "crashing", "lab/two").stdout
        assert set(said.splitlines()) == {"turn"}, said
        assert "GET / 127.0.0.1" in bed.weir("logs", "-c", "steady", "lab/two").stdout
    with claim("one that ends is started again alone, and what it left running is killed"):
        wait_for(lambda: bed.pods()["two"]["restarts"] >= 3, "one more restart", 30)
        record = json.loads((bed.folder / "pods/lab/two/record.json").read_text())
        seen = subprocess.run(["nsenter", "-t", str(record["init"]["pid"]), "-p", "-m", "ps", "-eo",
                               "args"], capture_output=True, text=True, check=True).stdout
        assert len(re.findall(r"^sleep 1234$", seen, re.M)) <= 1, seen
        equal(len(re.findall(r"^weir-pod-server", seen, re.M)), 1)


def probes_slowly():
    bed.apply(SLOW)
    with claim("a probe that takes too long is killed, and asked again"):
        wait_for(lambda: bed.run_in("lab/slow", "cat", "/tmp/asked", check=False).count("asked") >= 3,
                 "three probes", 30)
    with claim("its pod ends, even where nobody reaps orphans"):
        bed.delete(SLOW, "--wait", "30")
        assert "slow" not in bed.pods()


def main():
    begin()
    become_subreaper()  # which never reaps
    try:
        bed.up(deployment(), "--dns", "none")
        for part in (rolls, ends, shares, probes_slowly):
            part()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error}\n{error.stdout}\n{error.stderr}") from error
    bed.down()
    finish(16)


main()
