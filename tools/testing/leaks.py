"""What a test may leave behind on this machine: a picture before, one after, the difference."""

import os
import subprocess
import time
from pathlib import Path

CGROUPS = ("/sys/fs/cgroup", *map(str, Path("/sys/fs/cgroup").glob("*/")))
FOLDERS = ("/run/weir", "/var/lib/weir", "/etc/netns")
CLUSTER = Path.home() / ".cache" / "weir-k8s" / "state"  # of tests/cluster, while there is one
# the machine's own: a test must not take them away
KEPT = ("link", "route", "routing rule", "netfilter rule", "sysctl")
SYSCTLS = ("net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/forwarding",
           "net/ipv6/conf/all/disable_ipv6")


def picture():
    """{kind: {thing, ...}} of the root namespaces."""
    return {
        "network namespace": names("/run/netns"),
        "link": links(),
        "mount": mounts(),
        "file": {path for folder in FOLDERS for path in below(folder)},
        "cluster": {str(CLUSTER)} if CLUSTER.exists() else set(),
        "pin in bpffs": {path for folder in bpffs() for path in below(folder)},
        "cgroup": {path for folder in CGROUPS for path in weir_cgroups(folder)},
        "route": lines("ip", "-o", "route") | lines("ip", "-o", "-6", "route"),
        "routing rule": lines("ip", "-o", "rule") | lines("ip", "-o", "-6", "rule"),
        "netfilter rule": rules("iptables-save") | rules("ip6tables-save"),
        "sysctl": {f"{name}={sysctl(name)}" for name in SYSCTLS},
    }


def compare(before, patience):
    """Lines that say what is there now and was not before, or the reverse; waits up to `patience`
    seconds for the kernel to clear up behind the test."""
    deadline = time.monotonic() + patience
    while True:
        found = difference(before, picture())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def difference(before, after):
    found = []
    for kind in before:
        found += [f"left behind: {kind} {thing}" for thing in sorted(after[kind] - before[kind])]
        if kind in KEPT:
            found += [f"gone: {kind} {thing}" for thing in sorted(before[kind] - after[kind])]
    return found


def links():
    """Of our network namespace; /sys may show those of another."""
    return {line.split(":")[1].strip().split("@")[0] for line in lines("ip", "-o", "link")}


def names(folder):
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def below(folder):
    for path, folders, files in os.walk(folder):
        yield from (os.path.join(path, name) for name in folders + files)


def mounts():
    """But for /run/netns, which the first `ip netns add` on a machine makes, and its namespaces,
    which are looked at by name."""
    text = Path("/proc/self/mountinfo").read_text()
    points = {line.split()[4] for line in text.splitlines()}
    return {point for point in points if not f"{point}/".startswith("/run/netns/")}


def bpffs():
    text = Path("/proc/self/mountinfo").read_text()
    return {line.split()[4] for line in text.splitlines() if " - bpf " in line}


def weir_cgroups(folder):
    """The tree of our own cgroups: <folder>/weir*."""
    for name in names(folder):
        if name.startswith("weir"):
            yield os.path.join(folder, name)
            yield from (path for path in below(os.path.join(folder, name)) if os.path.isdir(path))


def lines(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    return {line.strip() for line in done.stdout.splitlines() if line.strip()}


def rules(command):
    try:
        return {line for line in lines(command) if line.startswith("-")}
    except FileNotFoundError:
        return set()


def sysctl(name):
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return "absent"
