#!/usr/bin/env -S python3 -B
"""Weir comes into a cluster that has no network by `kubectl weir install`, and leaves it by `uninstall`.
Between: `kubectl weir test` finds nothing, then each fault that is made, by its name; wrong settings
and missing permissions are told and harm nothing; another version rolls out without a loss."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time

import lib_cluster
import lib_steady
from lib_cluster import ROOT, lib_lab, retried
from lib_lab import claim, equal

CLAIMS = 22
PACKAGE = ROOT / "build/package"
NAMESPACE = ("--namespace", "weir-system")
ON_NODE = """
ip -o link | sed 's/^[0-9]*: //; s/ .*//'; ip -4 route; ip -6 route | grep -v '^fe80'
cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding \
  /proc/sys/net/ipv4/conf/*/accept_local
ls /sys/fs/bpf /etc/cni/net.d /opt/cni/bin; ls -d /run/weir /var/lib/weir 2>/dev/null; true
"""


class Weir:
    """`kubectl weir` where the cluster's administrators are: in cp."""

    def __init__(self, cluster):
        self.cluster = cluster
        folder = lib_cluster.STATE / "plugin"
        folder.mkdir()
        (folder / "kubectl-weir").symlink_to(ROOT / "build/release/bin/weir")
        (folder / "kubectl").symlink_to(lib_cluster.STATE.parent / "bin/kubectl")
        self.path = f"PATH={folder}:/usr/bin:/bin"
        self.config = f"KUBECONFIG={lib_cluster.STATE / 'pki/admin.conf'}"

    def run(self, *words, patience=240):
        """(status, all that it printed)"""
        done = subprocess.run(
            [lib_cluster.HERE / "cluster", "exec", "cp", "env", self.path, self.config, "HOME=/run",
             "kubectl", "weir", *words], env=self.cluster.environment, text=True, timeout=patience,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout

    def succeed(self, *words):
        status, text = self.run(*words)
        assert status == 0, f"kubectl weir {' '.join(words)}: status {status}: {text}"
        return text

    def test(self, *words):
        """(faults, questions) of `kubectl weir test`; its status says whether there are faults."""
        status, text = self.run("test", "-o", "json", *words)
        assert "{" in text, text
        found = json.loads(text[text.index("{"):])
        equal(status, 1 if found["faults"] else 0, text[-500:])
        return found["faults"], found["questions"]


def package():
    for what in ("image", "node-local"):
        subprocess.run([ROOT / "package", what], check=True, stdout=subprocess.DEVNULL,
                       stdin=subprocess.DEVNULL)
    return sorted(PACKAGE.glob("weir-*.oci.tar"))


def reproducible(archive):
    with claim("the same programs make the same image"):
        before = archive.read_bytes()
        os.utime(ROOT / "build/release/bin/weir")
        package()
        assert archive.read_bytes() == before, "another digest"
    with claim("the image has no shell, and is smaller than 60 MB"):
        assert archive.stat().st_size < 60e6
        names = layers(archive)
        assert "usr/bin/weir-agent" in names and not any(
            re.search(r"(^|/)(ba|da|)sh$|busybox", name) for name in names), names


def layers(archive):
    """Names of all files of an image."""
    names = []
    with tarfile.open(archive) as image:
        for blob in image.getmembers():
            if not blob.isfile() or "blobs" not in blob.name:
                continue
            with contextlib.suppress(tarfile.ReadError):
                with tarfile.open(fileobj=image.extractfile(blob)) as layer:
                    names += layer.getnames()
    return names


def snapshot(cluster):
    return {node: cluster.on(node, "sh", "-c", ON_NODE) for node in cluster.nodes}


def install(cluster, weir):
    with claim("the API server takes the manifests as they are, by its strict validation"):
        cluster.kubectl("create", "namespace", "weir-system")
        for path in ("cni/weir-cni.yaml", "cni/weir-remove.yaml", "node-local/weir-node-local.yaml"):
            said = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-",
                                   text=(ROOT / "deploy" / path).read_text())
            assert "server dry run" in said, said
        cluster.kubectl("delete", "namespace", "weir-system")
    with claim("without a network nodes are not ready; `kubectl weir install` makes them so"):
        equal(ready_nodes(cluster), [])
        started = time.monotonic()
        weir.succeed("install")
        retried(lambda: ready_nodes(cluster) == cluster.nodes, "nodes to be ready", 60)
        print(f"      {time.monotonic() - started:.1f} s")
        cluster.rolled_out("deployment/coredns", "--namespace", "kube-system")
    with claim("`kubectl weir test` finds no fault, in both families, and lets nothing behind"):
        faults, questions = weir.test()
        equal(faults, [])
        equal({one["family"] for one in questions}, {"IPv4", "IPv6"})
        assert len(questions) > 150, len(questions)
        retried(lambda: not cluster.kubectl("get", "namespace", "weir-test", "--ignore-not-found"),
                "the namespace to go", 60)
    with claim("`kubectl weir monitor` has the flows of each node"):
        seen = {json.loads(line)["node"]
                for line in weir.succeed("monitor", "--last", "200", "-o", "json").splitlines()}
        equal(sorted(seen), cluster.nodes)
    with claim("`kubectl weir status` has each node"):
        equal(re.findall(r"^node (\w+)", weir.succeed("status"), re.M), cluster.nodes)


def ready_nodes(cluster):
    return sorted(node["metadata"]["name"] for node in cluster.get("node")
                  if any(one["type"] == "Ready" and one["status"] == "True"
                         for one in node["status"]["conditions"]))


@contextlib.contextmanager
def filtered(cluster, node, *rule):
    for tool in ("iptables", "ip6tables"):
        cluster.on(node, tool, "-I", *rule, "-j", "DROP")
    try:
        yield
    finally:
        for tool in ("iptables", "ip6tables"):
            cluster.on(node, tool, "-D", *rule, "-j", "DROP")


@contextlib.contextmanager
def small_link(node):
    """Between a node and the others, unknown to both."""
    link = ("ip", "-n", "weir-cp", "link", "set", node, "mtu")
    subprocess.run([*link, "1450"], check=True)
    try:
        yield
    finally:
        subprocess.run([*link, "1500"], check=True)


def finds(weir, *texts):
    """Some fault has all of them."""
    faults, _ = weir.test()
    assert any(all(text in fault for text in texts) for fault in faults), \
        "\n".join(faults) or "no fault was found"


def faults_are_named(cluster, weir):
    with claim("a firewall in the tunnel's way is named, and the nodes that it parts"):
        with filtered(cluster, "n1", "INPUT", "-p", "udp", "--dport", "8472"):
            finds(weir, "from n0 to n1", "vxlan 8472", "firewall")
    with claim("a link of smaller MTU is named"):
        with small_link("n1"):
            finds(weir, "full packets", "from n0 to n1", "smaller MTU")
    with claim("a cluster DNS without pods is named"):
        cluster.kubectl("scale", "deployment/coredns", "--replicas=0", "--namespace", "kube-system")
        try:
            retried(lambda: not cluster.get("pod", None, "--namespace", "kube-system", "-l",
                                            "k8s-app=kube-dns"), "its pods to go", 60)
            finds(weir, "DNS", "kube-dns")
        finally:
            cluster.kubectl("scale", "deployment/coredns", "--replicas=1", "--namespace",
                            "kube-system")
            cluster.rolled_out("deployment/coredns", "--namespace", "kube-system")
    with claim("all is well again"):
        equal(weir.test()[0], [])


def bad_input(cluster, weir, traffic):
    with claim("a setting that does not exist: its name and the nearest, in log, Event and test"):
        status, _ = weir.run("install", "--set", "tunel=false", "--wait", "10s")
        equal(status, 3)
        says = "tunel: no such setting; did you mean tunnel?"
        try:
            retried(lambda: told(cluster, says), "an Event", 30)
            faults, _ = weir.test("--wait", "3s")
            assert any("agent" in fault for fault in faults), faults
            lib_steady.flows_on(traffic, "without the agent of a node")
        finally:
            weir.succeed("install", "--set", "tunel=")
    with claim("a setting that cannot be read: an Event names it, one however often the agent starts"):
        status, _ = weir.run("install", "--set", "tunnel=perhaps", "--wait", "5s")
        equal(status, 3)
        try:
            retried(lambda: most_starts(cluster) >= 2, "two more starts", 60)
            equal(len(told(cluster, "--tunnel: perhaps not in")), 1)
            lib_steady.flows_on(traffic, "without the agent of a node")
        finally:
            weir.succeed("install", "--set", "tunnel=")
    with claim("without its ConfigMap an agent runs on; one that starts waits, its pod says for what"):
        cluster.kubectl("delete", "configmap", "weir-config", *NAMESPACE)
        try:
            lib_steady.flows_on(traffic, "without settings")
            equal(len(ready_agents(cluster)), len(cluster.nodes))
            cluster.kubectl("delete", "pod", ready_agents(cluster)[0], *NAMESPACE)
            retried(lambda: 'configmap "weir-config" not found' in cluster.kubectl(
                "get", "events", *NAMESPACE), "the kubelet's Event", 60)
            faults, _ = weir.test("--wait", "3s")
            assert any("agent" in fault for fault in faults), faults
            lib_steady.flows_on(traffic, "without settings and an agent")
        finally:
            weir.succeed("install")
    with claim("a node that has cgroup version 1 only: a warning and an Event, Services are served"):
        cluster.on("n0", "umount", "-l", "/sys/fs/cgroup/unified")
        says = "Services are served without socket hooks: no cgroup v2 hierarchy is mounted"
        try:
            renew_agents(cluster)
            retried(lambda: told(cluster, says), "an Event", 30)
            assert says in weir.succeed("status"), "weir status does not tell"
            lib_steady.flows_on(traffic, "without socket hooks")
        finally:
            cluster.on("n0", "mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup/unified")
            renew_agents(cluster)
        assert says not in weir.succeed("status"), "it is still told"
    with claim("a missing permission is named, and what runs goes on"):
        cluster.kubectl("delete", "clusterrolebinding", "weir-agent")
        cluster.kubectl("rollout", "restart", "daemonset/weir-agent", *NAMESPACE)
        try:
            retried(lambda: "missing permission to list" in weir.run("status")[1],
                    "the permission's name", 60)
            lib_steady.flows_on(traffic, "without permissions")
        finally:
            weir.succeed("install")
        equal(weir.test()[0], [])


def told(cluster, text):
    """Events of nodes that have it."""
    return [event for event in cluster.get("event", None, "--namespace", "default")
            if event["involvedObject"].get("kind") == "Node" and text in event["message"]]


def agents(cluster):
    return cluster.get("pod", None, *NAMESPACE, "-l", "app.kubernetes.io/name=weir-agent")


def most_starts(cluster):
    return max((one["restartCount"] for pod in agents(cluster)
                for one in pod["status"].get("containerStatuses", [])), default=0)


def ready_agents(cluster):
    return [pod["metadata"]["name"] for pod in agents(cluster)
            if all(one["ready"] for one in pod["status"].get("containerStatuses", [{"ready": False}]))]


def renew_agents(cluster):
    cluster.kubectl("rollout", "restart", "daemonset/weir-agent", *NAMESPACE)
    cluster.rolled_out("daemonset/weir-agent", *NAMESPACE)


def roll_out(cluster, traffic):
    with claim("agents are replaced in all nodes while traffic runs: nothing was lost in all of it"):
        for _ in range(2):
            renew_agents(cluster)
            lib_steady.flows_on(traffic, "after the update")
        lib_steady.no_loss(traffic.end())


def node_local(cluster, weir):
    with claim("with a cache on each node, names are known while the cluster's DNS is away"):
        cluster.kubectl("apply", "-f", "-",
                        text=(ROOT / "deploy/node-local/weir-node-local.yaml").read_text())
        cluster.rolled_out("daemonset/weir-node-local", "--namespace", "kube-system")
        retried(lambda: asks_the_cache(cluster), "the client's node to send questions to its cache", 30)
        # The cluster's DNS may be on this node, too: one of the two answers.
        retried(lambda: all(resolves(cluster) for _ in range(10)), "ten answers", 60)
        cluster.kubectl("scale", "deployment/coredns", "--replicas=0", "--namespace", "kube-system")
        retried(lambda: not cluster.get("pod", None, "--namespace", "kube-system", "-l",
                                        "k8s-app=kube-dns"), "its pods to go", 60)
        assert resolves(cluster), "the cache has not answered"
    with claim("without the caches pods ask the cluster's DNS again"):
        cluster.kubectl("scale", "deployment/coredns", "--replicas=1", "--namespace", "kube-system")
        cluster.rolled_out("deployment/coredns", "--namespace", "kube-system")
        cluster.kubectl("delete", "-f", "-",
                        text=(ROOT / "deploy/node-local/weir-node-local.yaml").read_text())
        retried(lambda: resolves(cluster), "an answer of the cluster's DNS", 30)


def asks_the_cache(cluster):
    """What is for the cluster's DNS goes to pods of the client's node, the cache among them."""
    node = cluster.get("pod", "client")["spec"]["nodeName"]
    service = cluster.agent(node, "/v1/services?service=kube-system/kube-dns")
    ports = [port for port in service["ports"] if port["name"] == "dns"]
    return bool(ports) and all(
        any(backend["pod"].startswith("weir-node-local-") and not backend["unused_local"]
            for backend in port["backends"]) for port in ports)


def resolves(cluster):
    said = cluster.kubectl("exec", "client", "--", "dig", "+short", "+time=2", "+tries=1",
                           "server.default.svc.cluster.local", check=False)
    return said.strip() == cluster.get("service", "server")["spec"]["clusterIP"]


def sysdump(cluster, weir):
    with claim("the sysdump has each node's parts, and no Secret's content"):
        cluster.kubectl("create", "secret", "generic", "hidden", "--from-literal=password=geheim77")
        cluster.apply("""{apiVersion: v1, kind: Pod, metadata: {name: secretive}, spec: {nodeName: n0,
          terminationGracePeriodSeconds: 1, containers: [{name: c, image: "%s",
          args: [pause, geheim77], env: [{name: PASSWORD, value: geheim77}]}]}}"""
                      % lib_cluster.AGNHOST)
        path = lib_cluster.STATE / "sysdump.tar.gz"
        weir.succeed("sysdump", "--file", str(path))
        equal(path.stat().st_mode & 0o777, 0o600)
        with tarfile.open(path) as archive:
            names = archive.getnames()
            text = b"".join(archive.extractfile(one).read() for one in archive if one.isfile())
        assert b"geheim77" not in text
        for node in cluster.nodes:
            for part in ("status.json", "flows.jsonl", "agent.log"):
                assert any(name.endswith(f"nodes/{node}/{part}") for name in names), names
        assert b"could not be had" not in text


def uninstall(cluster, weir, before):
    with claim("`kubectl weir uninstall` leaves the nodes as they were"):
        for kind in ("daemonset", "pod"):
            cluster.kubectl("delete", kind, "--all", "--timeout=60s")
        weir.succeed("uninstall")
        equal(snapshot(cluster), before)
    with claim("and the cluster"):
        kinds = ("clusterrole", "clusterrolebinding", "namespace", "customresourcedefinition",
                 "validatingadmissionpolicy", "validatingadmissionpolicybinding")
        left = cluster.kubectl("get", ",".join(kinds), "-o", "name")
        assert "weir" not in left, left


def main():
    lib_cluster.begin()
    archives = package()
    reproducible(archives[0])
    cluster = lib_cluster.Cluster(FAMILIES="dual", NODES=2, NETWORK="none")
    for node in cluster.nodes:
        for archive in archives:
            cluster.on(node, "ctr", "--namespace", "k8s.io", "images", "import", str(archive))
    weir = Weir(cluster)
    before = snapshot(cluster)
    install(cluster, weir)
    faults_are_named(cluster, weir)
    cluster.apply(lib_steady.MANIFEST)
    cluster.ready("client", "server")
    traffic = lib_steady.Steady(cluster)
    bad_input(cluster, weir, traffic)
    roll_out(cluster, traffic)
    node_local(cluster, weir)
    sysdump(cluster, weir)
    uninstall(cluster, weir, before)
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
