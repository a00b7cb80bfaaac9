#!/usr/bin/env -S python3 -B
"""Pods of a real cluster, of both families: each kind is reached by all who may ask, as are Services of
all types, DNS, what the kubelet probes, and what kubectl does with pods."""

import json
import os
import re
import signal
import sys

import lib_cluster
from lib_cluster import HERE, lib_lab, retried, url
from lib_lab import claim, equal

CLAIMS = 33
STATIC = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "static"}, "spec": {"containers": [
    {"name": "c", "image": lib_cluster.AGNHOST, "args": ["netexec", "--http-port=8080"]}]}}


class Pods:
    def __init__(self, cluster):
        self.cluster = cluster
        cluster.apply((HERE / "pods.yaml").read_text())
        cluster.apply((HERE / "probes.yaml").read_text())
        cluster.on("n1", "tee", "/etc/kubernetes/manifests/static.yaml",
                   text=json.dumps(STATIC))
        with claim("a pod on each node, whose init containers reach the API server by its name"):
            cluster.rolled_out("daemonset/web", patience=150)
            cluster.ready("on-host", "host-port", "asker-0", "asker-1")
        self.web = cluster.pods("app=web")
        self.names = sorted(pod["metadata"]["name"] for pod in self.web.values())
        self.askers = ["asker-0", "asker-1", "@n0", "@n1"]

    def addresses(self, kind, name):
        found = self.cluster.get(kind, name)
        return found["spec"]["clusterIPs"] if kind == "service" else [
            one["ip"] for one in found["status"]["podIPs"]]

    def all_answer(self, askers, wanted):
        """wanted: {url: what must be the answer}"""
        for asker in askers:
            found = self.cluster.fetch(asker, list(wanted))
            equal(found, wanted, f"from {asker}:")

    def one_of_web(self, askers, urls):
        for asker in askers:
            for where, body in self.cluster.fetch(asker, urls).items():
                assert body in self.names, f"from {asker}, {where}: {body}"


def reach(pods):
    cluster = pods.cluster
    with claim("pods have an address of each family"):
        for pod in pods.web.values():
            families = sorted(lib_cluster.family_of(one["ip"]) for one in pod["status"]["podIPs"])
            equal(families, [4, 6])
    with claim("pods and nodes reach the pods of all nodes"):
        pods.all_answer(pods.askers, {
            url(one["ip"], port): pod["metadata"]["name"] for pod in pods.web.values()
            for one in pod["status"]["podIPs"] for port in (8080, 9080)})
    with claim("pods and nodes reach ClusterIPs of both families, also a sidecar's port"):
        pods.one_of_web(pods.askers, [
            url(ip, port) for ip in pods.addresses("service", "web") for port in (80, 82)])
    with claim("a ClusterIP has all pods behind it"):
        ip = pods.addresses("service", "web")[0]
        count = f"for i in {{1..60}}; do curl -s {url(ip, 80)}; echo; done | sort -u"
        equal(sorted(cluster.kubectl("exec", "asker-0", "--", "bash", "-c", count).split()),
              pods.names)
    with claim("datagrams to a ClusterIP are answered"):
        for ip in pods.addresses("service", "web"):
            ask = f"echo hostname | nc -u -w 1 {ip} 81"
            answer = cluster.kubectl("exec", "asker-0", "--", "bash", "-c", ask)
            assert answer in pods.names, f"{ip}: {answer!r}"
    with claim("NodePorts at all addresses of all nodes, for pods, nodes and from outside"):
        pods.one_of_web([*pods.askers, "@cp"], [
            url(ip, 30080) for node in cluster.nodes for ip in cluster.addresses(node)])
    with claim("a hostPort, from a pod, the other node and from outside"):
        pods.all_answer(["asker-0", "@n0", "@cp"], {
            url(ip, 18081): "host-port" for ip in cluster.addresses("n1")})
    with claim("a pod on the host's network, by its node's addresses and by a Service"):
        targets = [(ip, 18080) for ip in cluster.addresses("n0")]
        targets += [(ip, 80) for ip in pods.addresses("service", "on-host")]
        pods.all_answer(pods.askers, {url(*target): "n0" for target in targets})
    with claim("it reaches Services by their names"):
        pods.one_of_web(["on-host"], [url("web.default.svc.cluster.local", 80)])
    with claim("a static pod"):
        retried(lambda: cluster.kubectl("get", "pod", "static-n1", "--ignore-not-found"),
                "the static pod's mirror")
        cluster.ready("static-n1")
        pods.all_answer(pods.askers, {
            url(ip, 8080): "static-n1" for ip in pods.addresses("pod", "static-n1")})
    with claim("pods reach the API server by its Service"):
        api = pods.addresses("service", "kubernetes")[0]
        target = url(api, 443, "readyz").replace("http:", "https:")
        for asker in ("asker-0", "asker-1"):
            found = cluster.kubectl("exec", asker, "--", "curl", "-gsSk", "--max-time", 5, target)
            equal(found, "ok", asker)


def names(pods):
    cluster = pods.cluster
    servers = cluster.get(
        "service", "kube-dns", "-n", "kube-system")["spec"]["clusterIPs"]

    def dig(asker, server, name, kind, *options):
        return sorted(cluster.kubectl("exec", asker, "--", "dig", "+short", "+timeout=3", *options,
                                      f"@{server}", name, kind).split())

    kinds = {4: "A", 6: "AAAA"}
    with claim("DNS of both families, by UDP and TCP, from both nodes: a Service's addresses"):
        for asker in ("asker-0", "asker-1"):
            for server in servers:
                for options in ((), ("+tcp",)):
                    for ip in pods.addresses("service", "web"):
                        kind = kinds[lib_cluster.family_of(ip)]
                        equal(dig(asker, server, "web.default.svc.cluster.local", kind, *options),
                              [ip], f"{asker} {server} {kind} {options}")
    with claim("a headless Service's name has all pods' addresses"):
        for family, kind in kinds.items():
            wanted = sorted(one["ip"] for pod in pods.web.values()
                            for one in pod["status"]["podIPs"]
                            if lib_cluster.family_of(one["ip"]) == family)
            equal(dig("asker-0", servers[0], "web-headless.default.svc.cluster.local", kind), wanted)
    with claim("short names by the pod's own resolver"):
        pods.one_of_web(["asker-0", "asker-1"], [url("web", 80), url("web-headless", 8080)])
    with claim("addresses have names"):
        ip = pods.addresses("service", "web")[0]
        found = cluster.kubectl("exec", "asker-0", "--", "dig", "+short", f"@{servers[0]}", "-x", ip)
        equal(found.strip(), "web.default.svc.cluster.local.")


def restarts(cluster, name):
    status = cluster.get("pod", name)["status"]["containerStatuses"]
    return sum(one["restartCount"] for one in status)


def probes(pods):
    cluster = pods.cluster
    for kind in ("http", "tcp", "grpc", "exec"):
        with claim(f"{kind} probes: ready, and not restarted"):
            cluster.ready(f"probe-{kind}")
            equal(restarts(cluster, f"probe-{kind}"), 0)
    service = url(pods.addresses("service", "probe-exec")[0], 80)
    with claim("a pod that is not ready any more gets no connections"):
        equal(cluster.fetch("asker-0", [service])[service], "probe-exec")
        cluster.kubectl("exec", "probe-exec", "--", "rm", "/tmp/ready")
        retried(lambda: cluster.fetch("asker-0", [service], 1)[service] is None, "a refusal")
    with claim("ready again, it gets them again"):
        cluster.kubectl("exec", "probe-exec", "--", "touch", "/tmp/ready")
        retried(lambda: cluster.fetch("asker-0", [service], 1)[service] == "probe-exec", "an answer")
    with claim("a container whose liveness probe fails is restarted"):
        retried(lambda: restarts(cluster, "probe-fails") > 0, "a restart", 60)


def hands_on(pods):
    cluster = pods.cluster
    for number, node in enumerate(("n0", "n1")):
        name = pods.web[node]["metadata"]["name"]
        with claim(f"kubectl exec, logs and port-forward of a pod on {node}"):
            equal(cluster.kubectl("exec", name, "-c", "web", "--", "hostname").strip(), name)
            assert "Started HTTP server" in cluster.kubectl("logs", name, "-c", "web")
            forward(cluster, name, 20000 + number)


def forward(cluster, pod, port):
    job = cluster.start("cp", str(lib_cluster.STATE.parent / "bin" / "kubectl"), "--kubeconfig",
                        str(lib_cluster.STATE / "pki" / "admin.conf"), "port-forward",
                        f"pod/{pod}", f"{port}:8080")
    try:
        told = job.stdout.readline()
        assert re.search(rf"Forwarding from .*:{port}", told), told
        equal(cluster.fetch("@cp", [url("127.0.0.1", port)]), {url("127.0.0.1", port): pod})
    finally:
        os.killpg(job.pid, signal.SIGTERM)
        job.communicate(timeout=10)


def told(cluster):
    """{pod: its PodEndpoint} of all namespaces."""
    return {one["metadata"]["name"]: one["spec"] for one in cluster.get("podendpoint", None, "-A")}


def wanted(cluster):
    """The same, as the Pods would have it."""
    out = {}
    for pod in cluster.get("pod", None, "-A"):
        if pod["spec"].get("hostNetwork"):
            continue
        out[pod["metadata"]["name"]] = {
            "node": pod["spec"]["nodeName"], "labels": pod["metadata"].get("labels"),
            "addresses": [one["ip"] for one in pod["status"]["podIPs"]]}
    return out


def without_workload(spec):
    return {"labels": None, **{name: value for name, value in spec.items() if name != "workload"}}


def is_told(cluster):
    """Waits until the nodes tell each other what the Pods are."""
    def same():
        there = {name: without_workload(spec) for name, spec in told(cluster).items()}
        return there == wanted(cluster)
    retried(same, "PodEndpoints as the Pods are")


def endpoints(pods):
    cluster = pods.cluster
    name = pods.web["n1"]["metadata"]["name"]
    with claim("each node tells the others of its pods: addresses, labels, workload"):
        is_told(cluster)
        equal(told(cluster)[name]["workload"], "web")
    with claim("a label that changes is told"):
        cluster.kubectl("label", "pod", name, "tier=front")
        is_told(cluster)
        equal(told(cluster)[name]["labels"]["tier"], "front")
        cluster.kubectl("label", "pod", name, "tier-")
        is_told(cluster)
    with claim("what somebody changes or takes away there is mended"):
        cluster.kubectl("delete", "podendpoint", name)
        cluster.kubectl("patch", "podendpoint", "asker-0", "--type=merge", "--patch",
                        '{"spec": {"node": "n0", "labels": {}, "addresses": ["10.244.9.9"]}}')
        is_told(cluster)
    with claim("other nodes' pods have names in flows"):
        address = pods.web["n1"]["status"]["podIP"]
        cluster.fetch("asker-0", [url(address, 8080)])
        found = {flow["destination"].get("pod") for flow in cluster.flows("n0")
                 if flow["destination"]["address"] == address}
        equal(found, {name})
    with claim("an agent may tell of its own node's pods only"):
        agents = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in cluster.get(
            "pod", None, "-n", "weir-system", "-l", "app.kubernetes.io/name=weir-agent")}
        for node, answer in (("n1", "201"), ("n0", "422")):
            equal(post_as(cluster, agents["n1"], node), answer, node)
        is_told(cluster)  # there is no such pod: it is taken away


def post_as(cluster, agent, node):
    """The status that an agent gets that tells of a pod on `node`."""
    token = cluster.kubectl("create", "token", "weir-agent", "--namespace=weir-system",
                            "--bound-object-kind=Pod", f"--bound-object-name={agent}").strip()
    body = {"apiVersion": "weir.dev/v1", "kind": "PodEndpoint",
            "metadata": {"name": f"nobody-{node}"}, "spec": {"node": node}}
    return cluster.on(
        "cp", "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST",
        "-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json",
        "-d", json.dumps(body),
        url(pods_api(cluster), 6443, "apis/weir.dev/v1/namespaces/default/podendpoints")
        .replace("http:", "https:"))


def pods_api(cluster):
    return cluster.addresses("n0")[0].rsplit(".", 1)[0] + ".1"


def life(pods):
    cluster = pods.cluster
    with claim("a deleted pod leaves nothing in its node's agent; the next one is reached"):
        old = pods.web["n1"]
        name = old["metadata"]["name"]
        cluster.kubectl("delete", "pod", name, "--timeout=60s")
        cluster.rolled_out("daemonset/web")
        new = cluster.pods("app=web")["n1"]
        pods.all_answer(["asker-0", "@n0"], {
            url(one["ip"], 8080): new["metadata"]["name"] for one in new["status"]["podIPs"]})
        equal(cluster.attached("n1"), cluster.scheduled("n1"))
    with claim("and its PodEndpoint goes with it"):
        is_told(cluster)
    with claim("agents complain of nothing"):
        for node in cluster.nodes:
            equal(cluster.complaints(node), [], node)


def main():
    lib_cluster.begin()
    cluster = lib_cluster.Cluster(FAMILIES="dual", NODES=2)
    pods = Pods(cluster)
    for part in (reach, names, probes, hands_on, endpoints, life):
        part(pods)
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
