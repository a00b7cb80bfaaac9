#!/usr/bin/env -S python3 -B
"""containerd 2 asks the plugin for its STATUS: a node without agent takes no new pods, and says why;
those that run go on. (It does not call GC: that is tested by cnitool, tests/net/cni_cnitool_test.py.)"""

import subprocess
import sys

import lib_cluster
from lib_cluster import AGNHOST, ROOT, lib_lab, retried, url
from lib_lab import claim, equal

CLAIMS = 6
POD = f"""{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{nodeName: n0,
  containers: [{{name: c, image: "{AGNHOST}", args: [netexec, --http-port=8080]}}]}}}}"""


def ready(cluster):
    """The node's condition."""
    found = cluster.get("node", "n0")["status"]["conditions"]
    return next(one for one in found if one["type"] == "Ready")


def becomes(cluster, status):
    return retried(lambda: ready(cluster)["status"] == status and ready(cluster),
                   f"the node's condition Ready to be {status}", 60)


def main():
    lib_cluster.begin()
    subprocess.run([ROOT / "tools/get_containerd"], check=True, stdout=subprocess.DEVNULL)
    cluster = lib_cluster.Cluster(FAMILIES="dual", NODES=1, WEIR="process", CONTAINERD=2)
    with claim("the runtime is containerd 2"):
        version = cluster.get("node", "n0")["status"]["nodeInfo"]["containerRuntimeVersion"]
        assert version.startswith("containerd://2."), version
    with claim("it runs pods, which are reached by both families"):
        cluster.apply(POD)
        cluster.ready("web")
        urls = [url(one["ip"], 8080) for one in cluster.get("pod", "web")["status"]["podIPs"]]
        equal(cluster.fetch("@n0", urls), {one: "web" for one in urls})
    cluster.call("stop", "weir-agent", "n0")
    with claim("without its agent the node is not ready, and says why"):
        message = becomes(cluster, "False")["message"]
        assert "weir" in message.lower() and "agent" in message, message
    with claim("the pod is reached nevertheless"):
        equal(cluster.fetch("@n0", urls), {one: "web" for one in urls})
    cluster.call("start", "weir-agent", "n0")
    with claim("with the agent it is ready again"):
        becomes(cluster, "True")
    with claim("and takes pods"):
        cluster.kubectl("delete", "pod", "web", "--timeout=60s")
        cluster.apply(POD)
        cluster.ready("web")
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
