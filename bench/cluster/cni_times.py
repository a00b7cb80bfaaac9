"""The network's part in the creation of a pod: how long containerd waits for its CNI plugins, from its
debug log, which says when it begins and when it has the result."""

import datetime
import re

import pods
from lib_cluster import STATE
from parts.report import target
from parts.stats import median, quantile
from sides import SIDES, TITLES, in_turn

LINE = re.compile(r'^time="([^"]*)" level=debug msg="(begin cni setup|cni result: .*)" '
                  r"podsandboxid=(\w+)", re.M)
KINDS = {"single": "one at a time", "burst": "all at once"}
GOAL = 0.6


def nanoseconds(text):
    seconds, fraction = text.rstrip("Z").split(".")
    whole = datetime.datetime.fromisoformat(seconds).replace(tzinfo=datetime.UTC)
    return int(whole.timestamp()) * 10**9 + int(fraction)


class Log:
    """A node's containerd.log from now on."""

    def __init__(self, node):
        self.path = STATE / node / "containerd.log"
        self.offset = self.path.stat().st_size

    def additions_ms(self):
        with open(self.path, encoding="utf-8") as file:
            file.seek(self.offset)
            text = file.read()
        begun, times = {}, []
        for when, what, sandbox in LINE.findall(text):
            if what.startswith("begin"):
                begun[sandbox] = nanoseconds(when)
            elif sandbox in begun:
                times.append((nanoseconds(when) - begun.pop(sandbox)) / 1e6)
        return times


def one_pass(cluster, api, side, count):
    """Milliseconds of each ADD: {kind: [...]}, on one node."""
    times = {}
    with cluster.alone(side) as (node, _):
        for kind in KINDS:
            log = Log(node)
            bodies = [pods.pod(f"cni-{kind}-{number}", node, bench="cni") for number in range(count)]
            for group in [bodies] if kind == "burst" else [[body] for body in bodies]:
                pods.start(cluster.families, group)
            times[kind] = log.additions_ms()
            assert len(times[kind]) == count, f"{len(times[kind])} of {count} ADDs in the log"
            pods.remove(api, "bench=cni")
    return times


def measure(cluster, api, passes, count, first, say):
    """{side: {kind: [[ms of a pass], ...]}}; the sides in turns."""
    found = {side: {kind: [] for kind in KINDS} for side in SIDES}
    for number in range(passes):
        for side in in_turn(number, first):
            say(f"CNI: pass {number + 1} of {passes}, {side}")
            for kind, times in one_pass(cluster, api, side, count).items():
                found[side][kind].append(times)
    return found


def summary(found):
    facts = {}
    for side, kinds in found.items():
        for kind, passes in kinds.items():
            every = [one for times in passes for one in times]
            facts.setdefault(kind, {})[side] = {
                "p50": median(every), "p99": quantile(every, 0.99), "count": len(every),
                "by_pass": [round(median(times), 2) for times in passes]}
    for kind, of in facts.items():
        of["ratio"] = median([mine / other for mine, other in
                              zip(of["weir"]["by_pass"], of["bridge"]["by_pass"])])
    return facts


def table(facts):
    lines = [f"{'CNI ADD as containerd sees it, ms':48}{'p50':>8}{'p99':>8}   p50 by pass"]
    for kind, title in KINDS.items():
        for side in SIDES:
            one = facts[kind][side]
            lines.append(f"  {TITLES[side] + ', ' + title:46}{one['p50']:8.1f}{one['p99']:8.1f}   "
                         f"{one['by_pass']}")
    return lines + [""]


def targets(facts, families):
    return [target(f"CNI ADD p50 ÷ bridge, {title}, {families}", facts[kind]["ratio"], GOAL)
            for kind, title in KINDS.items()]
