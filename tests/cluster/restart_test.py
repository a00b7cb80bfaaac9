#!/usr/bin/env -S python3 -B
"""Everything of a real cluster dies and comes back, one after the other, while traffic runs: kubelets,
containerd, the API server, agents by SIGKILL and by an update of all nodes. Nothing is lost. Then a
node boots anew, and its pods come back."""

import itertools
import json
import sys
from concurrent import futures

import lib_cluster
import lib_steady
from lib_cluster import AGNHOST, lib_lab, retried, url
from lib_lab import claim, equal
from lib_net import wait_for
from lib_steady import PORT, Steady, flows_on, lost, no_loss

CLAIMS = 17
FEW = 10
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


def crash(cluster, traffic):
    """containerd dies in the middle of what it does: it comes back, and asks again."""
    counts = restart_counts(cluster)
    old, new = ([f"{name}{number}" for number in range(FEW)] for name in ("old", "new"))
    with claim(f"containerd is killed while {FEW} pods start and {FEW} stop: all do"):
        place(cluster, old)
        cluster.ready(*old)
        with futures.ThreadPoolExecutor() as pool:
            killers = [pool.submit(kill_busy_containerd, cluster, node) for node in cluster.nodes]
            place(cluster, new)
            cluster.kubectl("delete", "pod", *old, "--wait=false")
            for killer in killers:
                killer.result()
        cluster.ready(*new)
        cluster.kubectl("wait", "--for=delete", "--timeout=60s", *(f"pod/{pod}" for pod in old))
    with claim("then nodes have addresses and links for the pods that run, and no other"):
        for node in cluster.nodes:
            settled(cluster, node)
        cluster.kubectl("delete", "pod", *new, "--timeout=60s")
        for node in cluster.nodes:
            settled(cluster, node)
    with claim("other pods were left alone, and traffic went on"):
        equal(restart_counts(cluster), counts)
        equal(lost(traffic), {})


def kill_busy_containerd(cluster, node):
    """In the middle of several ADDs and DELs."""
    before = cluster.attached(node)
    wait_for(lambda: cluster.attached(node) != before, f"ADD or DEL on {node}", 30)
    cluster.kill("containerd", node)
    attached = cluster.attached(node)
    left = [pod for pod in attached if pod.startswith("old")]
    here = [pod for pod in attached if pod.startswith("new")]
    print(f"      {node}: killed after {len(here)} ADDs, with {len(left)} DELs to come", flush=True)
    assert left or len(here) < FEW // len(cluster.nodes), "it had done all"


def place(cluster, pods):
    """In turn on all nodes."""
    nodes = itertools.cycle(cluster.nodes)
    cluster.apply("\n---\n".join(SMALL % (pod, next(nodes), AGNHOST) for pod in pods))


def surplus(cluster, node):
    """What differs from the pods that the node should have; empty: nothing."""
    pods = cluster.scheduled(node)
    links = [link["ifname"] for link in json.loads(cluster.on(node, "ip", "-j", "link"))
             if link["ifname"].startswith("weir") and link["ifname"] != "weir_vxlan"]
    used = [pool["used"] for pool in cluster.agent(node, "/v1/status")["pools"]]
    found = {"pods": cluster.attached(node), "links": len(links), "addresses": used}
    wanted = {"pods": pods, "links": len(pods), "addresses": [len(pods)] * len(used)}
    return {kind: (value, wanted[kind]) for kind, value in found.items() if value != wanted[kind]}


def settled(cluster, node):
    wrong = {}

    def right():
        wrong.clear()
        wrong.update(surplus(cluster, node))
        return not wrong
    try:
        retried(right, f"{node} to have what its pods need", 60)
    except AssertionError as error:
        error.add_note(str(wrong))
        raise


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
    for part in (daemons, crash, api_server, agents):
        part(cluster, traffic)
    with claim("nothing was lost, reset or refused in all of it"):
        no_loss(traffic.end())
    boot(cluster)
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
