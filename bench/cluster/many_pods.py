"""Many pods of a Deployment on two nodes: from its creation until the last of them is ready."""

import pods
from api import Api
from parts.report import target
from parts.stats import median, quantile
from sides import SIDES, TITLES, cpu_seconds, in_turn

NAME = "many"


def one_pass(cluster, api, side, count, more):
    """`more`: others follow, for which these pods are removed."""
    with cluster.alone(side) as nodes:
        changes = Api(cluster.families).changes("pods", 600, f"labelSelector=app%3D{NAME}")
        before = cpu_seconds(nodes), cpu_seconds(["cp"])
        api.create("deployments", pods.deployment(NAME, count, {"weir.dev/network": side}))
        begun = pods.time.monotonic()
        ready = [when - begun for when in pods.wait_ready(changes, count)]
        after = cpu_seconds(nodes), cpu_seconds(["cp"])
        if more:
            api.delete("deployments", NAME)
            pods.wait_gone(api, f"labelSelector=app%3D{NAME}")
    return {"last_s": ready[-1], "half_s": quantile(ready, 0.5),
            "node_cpu_s": after[0] - before[0], "control_plane_cpu_s": after[1] - before[1]}


def measure(cluster, api, passes, count, first, say):
    """{side: [facts of a pass]}; the sides in turns."""
    found = {side: [] for side in SIDES}
    turns = [side for number in range(passes) for side in in_turn(number, first)]
    for number, side in enumerate(turns, 1):
        say(f"{count} pods: {number} of {len(turns)}, {side}")
        found[side].append(one_pass(cluster, api, side, count, number < len(turns)))
        say(f"{count} pods: {side} {found[side][-1]['last_s']:.1f} s")
    return found


def ratio(found):
    return median([mine["last_s"] / other["last_s"]
                   for mine, other in zip(found["weir"], found["bridge"])])


def table(found, count):
    lines = [f"{f'{count} pods on 2 nodes, seconds':40}{'half':>8}{'all':>8}"
             f"{'CPU of the nodes':>20}{'of the control plane':>22}"]
    for side, passes in found.items():
        for one in passes:
            lines.append(f"  {TITLES[side]:38}{one['half_s']:8.1f}{one['last_s']:8.1f}"
                         f"{one['node_cpu_s']:20.1f}{one['control_plane_cpu_s']:22.1f}")
    return lines + [""]


def targets(found, count, families):
    return [target(f"{count} pods ready ÷ bridge, {families}", ratio(found), 1)]
