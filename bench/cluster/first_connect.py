"""How soon a new Service works: from the API server's answer to the later of its two objects, which is
the EndpointSlice, until a pod's first connection to the ClusterIP stands."""

import json
import random
import time

import pods
from lib_cluster import lib_net
from lib_traffic import spawn
from parts.report import target
from parts.stats import quantile
from prober import Acceptor, Prober
from sides import SIDES, TITLES, in_turn

PORT, PATIENCE = 7000, 15
LIMITS_MS = {"p50": 20, "p99": 50}
PAUSE = (0.2, 1.4)  # between samples, by chance: longer and shorter than kube-proxy's own second


def service(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80}]}}


def endpoint_slice(name, family, address):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{family}", "labels": {"kubernetes.io/service-name": name}},
            "addressType": f"IPv{family}", "ports": [{"port": PORT}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}]}


class Side:
    """A client on one node, a server on the other."""

    def __init__(self, cluster, api, name):
        self.cluster, self.api, self.name, self.made = cluster, api, name, 0
        client, server = SIDES[name]
        names = [f"{name}-client", f"{name}-server"]
        pods.start(cluster.families, [pods.pod(names[0], client), pods.pod(names[1], server)])
        client, server = (cluster.place(cluster.get("pod", one)) for one in names)
        self.backends = server.address
        listeners = [lib_net.listener(server, family, address, PORT)
                     for family, address in server.address.items()]
        self.acceptor = spawn(Acceptor(listeners))
        self.probers = {}
        for family in self.backends:
            _, control = spawn(Prober(client))
            control.settimeout(PATIENCE * 2)
            self.probers[family] = control.makefile("rw", encoding="utf-8")

    def sample(self):
        """{family: ms}: objects of one Service are made, and removed."""
        self.made += 1
        name = f"{self.name}-{self.made}"
        made = self.api.create("services", service(name))
        addresses = {6 if ":" in one else 4: one for one in made["spec"]["clusterIPs"]}
        families = random.sample(list(self.backends), len(self.backends))
        now = time.monotonic()
        for family in families:
            self.ask(family, addresses[family], now + random.uniform(0, 0.005), now + PATIENCE)
        answered = {}
        for family in families:
            self.api.create("endpointslices", endpoint_slice(name, family, self.backends[family]))
            answered[family] = time.monotonic()
        found = {}
        for family in families:
            when, tries = json.loads(self.probers[family].readline())
            assert when, f"{self.name}: {addresses[family]} not connected by {tries} tries"
            found[family] = (when - answered[family]) * 1000
        self.api.delete("services", name)
        for family in families:
            self.api.delete("endpointslices", f"{name}-{family}")
        return found

    def ask(self, family, address, begin, deadline):
        print(json.dumps({"family": family, "target": [address, 80], "begin": begin,
                          "deadline": deadline}), file=self.probers[family], flush=True)


def measure(cluster, api, count, blocks, first, say):
    """{side: {family: [ms]}}; the sides in turns, each alone."""
    sides = {name: Side(cluster, api, name) for name in SIDES}
    found = {name: {family: [] for family in side.backends} for name, side in sides.items()}
    for number in range(blocks):
        for side in (sides[name] for name in in_turn(number, first)):
            say(f"new Services: block {number + 1} of {blocks}, {side.name}")
            with cluster.alone(side.name):
                side.sample()  # what the pause before left behind
                for _ in range(count // blocks):
                    time.sleep(random.uniform(*PAUSE))
                    for family, value in side.sample().items():
                        found[side.name][family].append(value)
    return found


def summary(found):
    return {side: {f"IPv{family}": {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99),
                                    "most": max(values), "count": len(values)}
                   for family, values in families.items()} for side, families in found.items()}


def table(facts):
    lines = [f"{'API answer -> first connection, ms':48}{'p50':>8}{'p99':>8}{'most':>8}{'count':>8}"]
    for side, families in facts.items():
        for family, one in families.items():
            lines.append(f"  {TITLES[side] + ', ' + family:46}{one['p50']:8.1f}{one['p99']:8.1f}"
                         f"{one['most']:8.1f}{one['count']:8}")
    return lines + [""]


def targets(facts):
    return [target(f"API answer to first connection, {family}, {name}", one[name], limit, unit=" ms")
            for family, one in facts["weir"].items() for name, limit in LIMITS_MS.items()]
