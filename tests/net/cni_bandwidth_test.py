#!/usr/bin/env -S python3 -B
"""Pods whose bandwidth is limited, by annotations in a cluster and by a runtime's own request: what
iperf3 measures is the limit, within 5 %, in both directions and families, on one node, between nodes
and from the node itself; also after the agent was killed. CHECK sees a limit that is gone, the agent
sets it again, DEL leaves nothing.

A limit counts frames of the pod's link, as tbf does; iperf3 counts what they carry."""
# alone: a sender that waits for a processor falls short of the limit

import itertools
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cni"))
import bed
import lib_cells
import lib_lab
from lib_lab import claim
from lib_net import run, wait_for

CLAIMS = 29
WITHIN = 0.05
SECONDS, RAMP = 3, 1
INGRESS, EGRESS = 30e6, 60e6
LINK, TIMESTAMPS = 14, 12
HEADERS = {4: 40, 6: 60}
POD = """---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: lab, annotations: {annotations}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, command: [iperf3, -s]}}]
"""
# A pod for each way, so that all ways are measured at once.
WAYS = {f"limited-{peer}-{family}": (peer, family)
        for peer, family in itertools.product(("near", "far"), (4, 6))}
LIMITS = {"kubernetes.io/ingress-bandwidth": "30M", "kubernetes.io/egress-bandwidth": "60M"}


def pod(name, node, **annotations):
    return POD.format(name=name, node=node, annotations=json.dumps(annotations))


class Bench:
    def __init__(self, tunnel):
        self.bed = lib_cells.Cluster(
            tunnel, True, lib_cells.NAMESPACE + "".join(pod(name, "n0", **LIMITS) for name in WAYS) +
            "".join(pod(f"{peer}-{family}", {"near": "n0", "far": "n1"}[peer])
                    for peer, family in WAYS.values()), "--dns", "none")
        self.addresses = {name: self.bed.pod(name)
                          for name in (*WAYS, *(f"{peer}-{family}" for peer, family in WAYS.values()))}
        for name in self.addresses:
            wait_for(lambda name=name: self.inside(name, "ss", "-Hltn", "sport = :5201").strip(),
                     f"iperf3 in {name}")
        self.mtu = int(self.inside("limited-near-4", "cat", "/sys/class/net/eth0/mtu"))

    def inside(self, place, *command):
        if place == "node":
            return run("ip", "netns", "exec", f"weir-{self.bed.name}-n0", *command,
                       timeout=60).stdout
        return self.bed.run_in(f"lab/{place}", *command)

    def rate(self, client, server, family, *options):
        """Bits per second of frames on the link of the limited pod."""
        told = json.loads(self.inside(client, "iperf3", "-J", "-c", self.addresses[server][family],
                                      "-t", SECONDS, "-O", RAMP, *options))
        carried = told["end"]["sum_received"]["bits_per_second"]
        payload = self.mtu - HEADERS[family] - TIMESTAMPS
        return carried * (self.mtu + LINK) / payload


def is_held(text, limit, found):
    with claim(f"{text}: {limit / 1e6:.0f} Mbit/s within {WITHIN:.0%}"):
        print(f"      {found / limit:.3f} of the limit", flush=True)
        assert abs(found / limit - 1) <= WITHIN, f"{found / 1e6:.2f} Mbit/s"


def side_by_side(measured):
    """[(text, limit, bench, client, server, family)], which have no pod in common."""
    with ThreadPoolExecutor(len(measured)) as pool:
        waiting = [(text, limit, pool.submit(bench.rate, *way))
                   for text, limit, bench, *way in measured]
        for text, limit, rate in waiting:
            is_held(text, limit, rate.result())


def every_way(benches):
    for to_pod, limit in ((True, INGRESS), (False, EGRESS)):
        measured = []
        for (tunnel, bench), (name, (peer, family)) in itertools.product(benches.items(),
                                                                         WAYS.items()):
            where = {"near": "on one node", "far": "between nodes"}[peer]
            ends = (f"{peer}-{family}", name)
            text = f"{tunnel}, IPv{family}, {where}, {'to' if to_pod else 'from'} the pod"
            measured.append((text, limit, bench, *(ends if to_pod else reversed(ends)), family))
        side_by_side(measured)


def from_the_node(bench):
    side_by_side([(f"IPv{family}, from the pod's node", INGRESS, bench, "node",
                   f"limited-near-{family}", family) for family in (4, 6)])


def others_are_not_limited(bench):
    with claim("a pod without a limit has none"):
        found = bench.rate("far-4", "near-4", 4)
        assert found > 3 * EGRESS, f"{found / 1e6:.2f} Mbit/s"


def outlives_agents(bench):
    pid_file = bench.bed.folder / "nodes/n0/run/agent.pid"
    before = int(pid_file.read_text())
    os.kill(before, signal.SIGKILL)
    with claim("a killed agent comes back"):
        wait_for(lambda: pid_file.read_text().strip() not in ("", str(before)) and
                 bench.bed.weir("status", check=False).returncode == 0, "another agent")
    side_by_side([("after that, to the pod", INGRESS, bench, "far-4", "limited-far-4", 4),
                  ("after that, from the pod", EGRESS, bench, "limited-near-6", "near-6", 6)])


# --- the plugin by itself ------------------------------------------------------------------------

def shapes(netns, link):
    told = json.loads(netns.do("tc", "-j", "qdisc", "show", "dev", link).stdout)
    return [one["kind"] for one in told if one.get("root")]


def asked(node, **bandwidth):
    return node.config(capabilities={"bandwidth": True}, runtimeConfig={"bandwidth": bandwidth})


def plugin_alone(node):
    pod_netns = bed.Netns()
    # As containerd spells them: no burst is the largest one.
    config = asked(node, IngressRate=10_000_000, IngressBurst=2**32 - 1, EgressRate=20_000_000,
                   EgressBurst=2**32 - 1)
    result = node.add("c1", pod_netns, config=config)
    host = result["interfaces"][0]["name"]
    check = dict(config, prevResult=result)
    with claim("plugin: both ends of the link have a token bucket, and CHECK passes"):
        lib_lab.equal((shapes(node.netns, host), shapes(pod_netns, "eth0")), (["tbf"], ["tbf"]))
        lib_lab.equal(node.call("CHECK", "c1", pod_netns, config=check).status, 0)
    for where, netns, link in (("node", node.netns, host), ("pod", pod_netns, "eth0")):
        def told_of(netns=netns, link=link):
            netns.do("tc", "qdisc", "del", "dev", link, "root", check=False)
            reply = node.call("CHECK", "c1", pod_netns, config=check)
            return reply.status != 0 and "limit of" in reply.document["msg"]
        with claim(f"plugin: CHECK tells of a limit in the {where} that is gone"):
            wait_for(told_of, "CHECK to be faster than the agent once")
        with claim(f"plugin: the limit in the {where} is set again"):
            wait_for(lambda netns=netns, link=link: shapes(netns, link) == ["tbf"], "the limit")
            lib_lab.equal(node.call("CHECK", "c1", pod_netns, config=check).status, 0)
    with claim("plugin: a limit of one direction leaves the other alone"):
        other = bed.Netns()
        made = node.add("c2", other, config=asked(node, ingressRate=10_000_000, ingressBurst=80000))
        lib_lab.equal((shapes(node.netns, made["interfaces"][0]["name"]), shapes(other, "eth0")),
                      (["tbf"], ["noqueue"]))
        node.delete("c2", other)
    with claim("plugin: DEL leaves nothing, whatever bandwidth it is told"):
        reply = node.call("DEL", "c1", pod_netns, config=asked(node, ingressRate=-1))
        lib_lab.equal(reply.status, 0)
        node.expect_clean(pod_netns)


def main():
    lib_lab.begin()
    benches = {tunnel: Bench(tunnel) for tunnel in ("vxlan", "none")}
    every_way(benches)
    benches.pop("none").bed.down()
    bench = benches["vxlan"]
    from_the_node(bench)
    others_are_not_limited(bench)
    outlives_agents(bench)
    bench.bed.down()
    plugin_alone(bed.Node().start())
    lib_lab.finish(CLAIMS)


main()
