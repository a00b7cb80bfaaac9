"""How soon an agent is ready on a node full of pods in a cluster full of Services: from the start of its
container's process until it answers as `weir status --probe` wants it."""

import json
import os
import time

import lib_cluster
import pods
from api import create_all
from first_connect import endpoint_slice, service
from lib_cluster import STATE, Path, lib_net, retried
from parts.report import target
from parts.stats import median
from sides import cpu_seconds, go_ahead

NODE, WEIR = "n0", ("-n", "weir-system")
LIMIT_MS = 1000
TITLES = {"adopting": "the programs of the agent before it are kept",
          "anew": "no programs were there: all are loaded, all pods attached"}


class Full(lib_cluster.Cluster):
    """One node."""

    def __init__(self, families, pod_count, service_count, say):
        super().__init__(NETWORK="weir", NODES=1, MAX_PODS=pod_count + 10, FAMILIES=families)
        self.families, self.init = families, (STATE / NODE / "init.pid").read_text().strip()
        go_ahead()
        self.rolled_out("daemonset/weir-agent", *WEIR)
        say(f"{pod_count} pods")
        pods.start(families, [pods.pod(f"full-{number}", NODE) for number in range(pod_count)], 400)
        say(f"{service_count} Services")
        backends = self.get("pod", "full-0")["status"]["podIPs"]
        names = [f"service-{number}" for number in range(service_count)]
        create_all(families, [("services", service(name)) for name in names])
        create_all(families, [
            ("endpointslices", endpoint_slice(name, lib_cluster.family_of(one["ip"]), one["ip"]))
            for name in names for one in backends])
        say("until the agent has all of them")
        retried(lambda: self.services() >= service_count, "the Services", 120)

    def ask(self, target):
        return lib_net.http_get(f"/proc/{self.init}/root/run/weir/agent.sock", target)

    def services(self):
        return len(self.ask("/v1/services").splitlines())

    def status(self):
        try:
            return json.loads(self.ask("/v1/status"))
        except (OSError, AssertionError):
            return None

    def agent_process(self):
        """The pid of the agent, outside; None while there is none."""
        procs = Path("/sys/fs/cgroup/memory/weir", NODE).glob("kubepods/**/cgroup.procs")
        for pid in (one for file in procs for one in read(file).split()):
            if read(Path("/proc", pid, "comm")).strip() == "weir-agent":
                return pid
        return None


def read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def started(pid):
    """By the clock of time.monotonic(), to a tick of 10 ms."""
    ticks = int(read(Path("/proc", pid, "stat")).rsplit(") ", 1)[1].split()[19])
    return (ticks / os.sysconf("SC_CLK_TCK") - time.clock_gettime(time.CLOCK_BOOTTIME)
            + time.monotonic())


def cpu_ms(pid):
    """What a process has used so far, to a tick."""
    user, system = read(Path("/proc", pid, "stat")).rsplit(") ", 1)[1].split()[11:13]
    return (int(user) + int(system)) * 1000 / os.sysconf("SC_CLK_TCK")


def is_idle():
    """The API server has ended what it did for the last agent, and collects no garbage of it."""
    before = cpu_seconds(["cp"])
    time.sleep(0.5)
    return cpu_seconds(["cp"]) - before < 0.05


def restart(cluster, how):
    """Milliseconds until the next agent is ready, and whether it is as it should be."""
    lib_net.wait_for(is_idle, "an idle control plane", 60)
    before = cluster.agent_process()
    if how == "anew":
        cluster.on(NODE, "rm", "-rf", "/sys/fs/bpf/weir")
    name = cluster.get("pod", None, *WEIR)[0]["metadata"]["name"]
    cluster.kubectl("delete", "pod", *WEIR, name, "--wait=false")
    lib_net.wait_for(lambda: cluster.agent_process() not in (before, None), "the next agent", 60)
    pid, server = cluster.agent_process(), cpu_seconds(["cp"])
    begun = started(pid)
    status = lib_net.wait_for(lambda: (now := cluster.status()) and not now.get("waiting_for")
                              and now["uptime_seconds"] < 30 and now, "the agent", 60)
    ready, used = time.monotonic(), cpu_ms(pid)
    server = cpu_seconds(["cp"]) - server
    assert status["adopted"] == (how == "adopting"), status
    retried(lambda: cluster.rolled_out("daemonset/weir-agent", *WEIR) is None, "Ready", 60)
    return {"ready_ms": (ready - begun) * 1000, "cpu_ms": used,
            "control_plane_cpu_ms": server * 1000, "services": cluster.services(),
            "endpoints": len(cluster.attached(NODE)),
            "rss_mb": int(read(Path("/proc", pid, "statm")).split()[1]) * 4096 / 1e6}


def measure(families, pod_count, service_count, repeats, say):
    cluster = Full(families, pod_count, service_count, say)
    found = {how: [] for how in TITLES}
    for number in range(repeats):
        for how in TITLES:
            say(f"agent, {how}: {number + 1} of {repeats}")
            one = restart(cluster, how)
            assert one["services"] >= service_count and one["endpoints"] >= pod_count, one
            found[how].append(one)
    cluster.down()
    return found


def table(found):
    lines = [f"{'agent: container start until ready, ms':60}{'median':>8}{'its CPU':>9}"
             f"{'control plane':>15}   each"]
    for how, title in TITLES.items():
        times = [one["ready_ms"] for one in found[how]]
        own, other = (median([one[name] for one in found[how]])
                      for name in ("cpu_ms", "control_plane_cpu_ms"))
        lines.append(f"  {title:58}{median(times):8.0f}{own:9.0f}{other:15.0f}   "
                     f"{[round(one) for one in times]}")
    lines.append(f"  resident then: {max(one['rss_mb'] for one in found['adopting']):.0f} MB")
    return lines + [""]


def targets(found):
    return [target(f"agent ready, {how}", median([one["ready_ms"] for one in found[how]]), LIMIT_MS,
                   unit=" ms") for how in TITLES]
