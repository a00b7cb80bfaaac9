"""The opponent of the Services part: upstream's kube-proxy on a node of the ptp plugin. It is told of
its objects by fake_api.py, not by a real API server."""

import json
import re
import shutil
import sys
import time
from pathlib import Path

from parts import cni, objects, paths
from parts.system import Failed, call, run_in, wait_for

API_PORT = 8001
NODE_ADDRESS = "172.28.0.10"
NUMBERS = {"nftables": 243, "iptables": 244}
SECONDS = 600  # iptables-nft takes minutes for the first time


def way(mode, program, count, system, tools, mtu, options):
    """The last of `count` Services, all with the one endpoint that serves; and the seconds until
    all were in force."""
    space, name = system.add_space(f"kp-{mode}-n"), f"kube_proxy_{mode}"
    run_in(space, "ip", "link", "add", "node0", "type", "veth", "peer", "name", "node1")
    run_in(space, "ip", "addr", "add", f"{NODE_ADDRESS}/24", "dev", "node0")
    for link in ("node0", "node1"):
        run_in(space, "ip", "link", "set", link, "up")
    run_in(space, "ip", "route", "add", "default", "dev", "node0")
    cidr = f"10.{NUMBERS[mode]}.0.0/16"
    plugin = cni.reference("ptp", system, tools, space, [cidr], mtu)
    path = paths.connect_pods(system, tools, paths.Path(name, f"kube-proxy {mode}"), plugin, options)
    folder = system.folder(name)
    write_api(folder / "api.json", name, path.addresses["IPv4"], cidr, count)
    start(mode, program, system, space, folder, cidr)
    begun = time.monotonic()
    order = wait_for(f"kube-proxy {mode}", lambda: programmed(mode, space, count, folder), SECONDS, 1)
    path.addresses, path.port = {"IPv4": order[-1]}, objects.PORT
    path.in_order = lambda: programmed(mode, space, count, folder) == order
    return path, time.monotonic() - begun


def write_api(file, node, server, cidr, count):
    names = [f"svc-{number:06}" for number in range(count)]
    lists = {
        "/api/v1/nodes": ("v1", "NodeList", [objects.node(node, NODE_ADDRESS, cidr)]),
        "/api/v1/services": ("v1", "ServiceList", [
            objects.service(name, objects.cluster_ips(number)[:1])
            for number, name in enumerate(names)]),
        "/apis/discovery.k8s.io/v1/endpointslices": (
            "discovery.k8s.io/v1", "EndpointSliceList",
            [objects.endpoint_slice(name, node, server, paths.PORT) for name in names]),
        "/apis/networking.k8s.io/v1/servicecidrs": (
            "networking.k8s.io/v1", "ServiceCIDRList", []),
    }
    file.write_text(json.dumps({path: {"apiVersion": version, "kind": kind, "items": items}
                                for path, (version, kind, items) in lists.items()}),
                    encoding="utf-8")


def iptables_nft(folder):
    """A PATH where iptables is iptables-nft, whatever this machine's default is."""
    for tool in ("iptables", "ip6tables"):
        for verb in ("", "-save", "-restore"):
            link = folder / f"{tool}{verb}"
            link.unlink(missing_ok=True)
            link.symlink_to(shutil.which(f"{tool}-nft{verb}") or f"/usr/sbin/{tool}-nft{verb}")
    return f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"


def start(mode, program, system, space, folder, cidr):
    system.start([sys.executable, Path(__file__).parent / "fake_api.py", API_PORT,
                  folder / "api.json"], space, 0)
    wait_for("the API's stand-in", lambda: f":{API_PORT} " in run_in(space, "ss", "-Hltn"))
    never = {"syncPeriod": "24h", "minSyncPeriod": "1s"}
    config = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
              "mode": mode, "clusterCIDR": cidr, "iptables": never, "nftables": never,
              "clientConnection": {"contentType": "application/json"},
              # what a network namespace may not set
              "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s",
                            "tcpCloseWaitTimeout": "0s"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with open(folder / "log", "ab") as log:
        system.start(["env", f"PATH={iptables_nft(folder)}", program, "--config",
                      folder / "config.json", "--master", f"http://127.0.0.1:{API_PORT}",
                      "--hostname-override", f"kube_proxy_{mode}"], space, 0, log)


def programmed(mode, space, count, folder):
    """The ClusterIPs in the order of the rules, once all are there; else None."""
    if mode == "iptables":
        text = run_in(space, f"{folder}/iptables-save", "-t", "nat")
        found = re.findall(r"^-A KUBE-SERVICES -d ([\d.]+)/32 .*-j KUBE-SVC-", text, re.M)
    else:
        try:
            text = run_in(space, "nft", "list", "map", "ip", "kube-proxy", "service-ips")
        except Failed:
            return None
        found = re.findall(r"([\d.]+) \. tcp \. \d+ : goto", text)
    return found if len(found) == count else None


def build(root):
    """The path of kube-proxy."""
    return call(root / "tools/get_kubernetes", "kube-proxy").strip()
