#!/usr/bin/env -S python3 -B
"""Everything of a real cluster dies and comes back, one after the other, while traffic runs: kubelets,
containerd, the API server, agents by SIGKILL and by an update of all nodes. Nothing is lost. Then a
node boots anew, and its pods come back."""

import sys

import lib_cluster
import lib_steady
from lib_cluster import AGNHOST, lib_lab, retried, url
from lib_lab import claim, equal
from lib_net import wait_for
from lib_steady import PORT, Steady, flows_on, lost, no_loss

CLAIMS = 14
MANIFEST = f"""
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {AGNHOST}
        args: [netexec, --http-port=8080, --udp-port=-1]
        readinessProbe: {{httpGet: {{path: /hostname, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: 8080}}]
"""
SMALL = """{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {nodeName: %s,
  terminationGracePeriodSeconds: 1, containers: [{name: c, image: "%s", args: [pause]}]}}"""


def restart_counts(cluster):
    return {pod["metadata"]["name"]: [one["restartCount"] for one in
                                      pod["status"]["containerStatuses"]] for pod in cluster.get("pod")}


def new_pod(cluster, name, node):
    cluster.apply(SMALL % (name, node, AGNHOST))
    cluster.ready(name)
    cluster.kubectl("delete", "pod", name, "--timeout=60s")


def daemons(cluster, traffic):
    counts = restart_counts(cluster)
    for daemon in ("kubelet", "containerd"):
        with claim(f"{daemon} of all nodes stopped: traffic goes on"):
            for node in cluster.nodes:
                cluster.call("stop", daemon, node)
            flows_on(traffic, f"without {daemon}")
        with claim(f"{daemon} started: nodes are ready, new pods start, old ones were left alone"):
            for node in cluster.nodes:
                cluster.call("start", daemon, node)
            for node in cluster.nodes:
                retried(lambda n=node: started_pod(cluster, f"after-{daemon}-{n}", n),
                        f"a pod on {node}", 90)
            equal(restart_counts(cluster), counts)
            equal(lost(traffic), {})


def started_pod(cluster, name, node):
    """A pod can be refused for a moment, while kubelet and containerd find each other."""
    new_pod(cluster, name, node)
    return True


def api_server(cluster, traffic):
    with claim("the API server is away: traffic goes on; back again: new Services are served"):
        cluster.call("stop", "kube-apiserver", "cp", "KILL")
        flows_on(traffic, "without the API server")
        cluster.call("start", "kube-apiserver", "cp")
        wait_for(lambda: cluster.kubectl("get", "--raw", "/readyz", check=False) == "ok",
                 "the API server", 60)
        cluster.kubectl("expose", "pod", "server", "--name=later", "--port=80",
                        f"--target-port={PORT}")
        ip = cluster.get("service", "later")["spec"]["clusterIP"]
        retried(lambda: connects(cluster, ip, 80), "the new Service", 60)
        equal(lost(traffic), {})


def connects(cluster, address, port):
    done = cluster.kubectl("exec", "client", "--", "bash", "-c",
                           f"echo there | nc -w 2 -q 1 {address} {port}", check=False)
    return done.strip() == "there"


def agents(cluster, traffic):
    with claim("agents of all nodes killed and away: traffic goes on"):
        for node in cluster.nodes:
            cluster.call("stop", "weir-agent", node, "KILL")
        flows_on(traffic, "without agents")
    with claim("a pod that is made meanwhile starts when they are back"):
        cluster.apply(SMALL % ("meanwhile", "n1", AGNHOST))
        for node in cluster.nodes:
            cluster.call("start", "weir-agent", node)
        cluster.ready("meanwhile")
        cluster.kubectl("delete", "pod", "meanwhile", "--timeout=60s")
        equal(lost(traffic), {})
    with claim("all agents are updated, one by one, to programs with other settings"):
        for node in cluster.nodes:
            cluster.on(node, "tee", "/etc/weir/external-ips", text="false\n")
            cluster.call("stop", "weir-agent", node)
            cluster.call("start", "weir-agent", node)
            wait_for(lambda n=node: cluster.answers(n), f"the agent of {node}", 60)
            equal(cluster.agent(node, "/v1/status")["adopted"], False, "the old programs were")
            flows_on(traffic, f"after the update of {node}")
        equal(lost(traffic), {})


def boot(cluster):
    with claim("a node goes down: what is on others is reached by Services"):
        cluster.call("restart", "n1")
        ip = cluster.get("service", "web")["spec"]["clusterIP"]
        retried(lambda: cluster.fetch("client", [url(ip, 80)], 1)[url(ip, 80)], "an answer", 10)
    with claim("it boots: its pods run again, and are reached"):
        retried(lambda: cluster.daemon_pid("kubelet", "n1"), "its kubelet", 60)
        retried(lambda: all_run(cluster, "n1"), "pods of n1 to run again", 120)
        cluster.rolled_out("daemonset/web")
        for family_ips in cluster.pods("app=web").values():
            for one in family_ips["status"]["podIPs"]:
                where = url(one["ip"], 8080)
                equal(cluster.fetch("client", [where])[where], family_ips["metadata"]["name"])
    with claim("its agent knows the pods that run, and no other"):
        retried(lambda: cluster.attached("n1") == cluster.scheduled("n1"),
                f"{cluster.attached('n1')} to be {cluster.scheduled('n1')}", 30)
    with claim("traffic to the node flows again, by addresses and Services"):
        traffic = Steady(cluster)
        flows_on(traffic, "after the boot")
        no_loss(traffic.end())


def all_run(cluster, node):
    """Their containers were all started after the boot."""
    pods = cluster.get("pod", None, "-A", "--field-selector", f"spec.nodeName={node}")
    return all(one["ready"] and one["restartCount"] > 0
               for pod in pods for one in pod["status"]["containerStatuses"])


def main():
    lib_cluster.begin()
    cluster = lib_cluster.Cluster(FAMILIES="dual", NODES=2, WEIR="process")
    cluster.apply(MANIFEST)
    cluster.apply(lib_steady.MANIFEST)
    cluster.rolled_out("daemonset/web")
    cluster.ready("client", "server")
    traffic = Steady(cluster)
    with claim("traffic flows: echoes, 1000 datagrams a second, new connections"):
        flows_on(traffic, "at first")
    for part in (daemons, api_server, agents):
        part(cluster, traffic)
    with claim("nothing was lost, reset or refused in all of it"):
        no_loss(traffic.end())
    boot(cluster)
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
