#!/usr/bin/env -S python3 -B
"""The reference client drives weir-cni: ADD, CHECK, DEL in each version of the specification and
each family; its own checks of results and caches are part of the test."""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cni"))
import bed

VERSIONS = ("0.4.0", "1.0.0", "1.1.0")


class Cnitool:
    def __init__(self, program, node):
        self.program, self.node = program, node
        self.configs = node.folder / "net.d"
        self.configs.mkdir()

    def write(self, version):
        plugin = self.node.config(version)
        for key in ("cniVersion", "name"):
            del plugin[key]
        text = json.dumps({"cniVersion": version, "name": "weir", "plugins": [plugin]})
        (self.configs / "10-weir.conflist").write_text(text)

    def __call__(self, verb, netns):
        environment = dict(os.environ, NETCONFPATH=str(self.configs), CNI_PATH=str(bed.BIN),
                           CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0")
        return subprocess.run([self.program, verb, "weir", netns.path], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=bed.PATIENCE, check=False)


def check_result(result, version, node, netns):
    bed.equal(result["cniVersion"], version)
    host, pod = result["interfaces"]
    bed.equal(host["mac"], "ee:ee:ee:ee:ee:ee")
    assert "sandbox" not in host, host
    bed.equal((pod["name"], pod["sandbox"]), ("eth0", netns.path))
    assert host["name"] in node.netns.links(), host
    bed.equal(netns.links()["eth0"]["address"], pod["mac"])
    bed.equal(len(result["ips"]), len(node.ranges))
    for ip in result["ips"]:
        bed.equal(ip["interface"], 1)
        assert ip["address"].endswith("/128" if ":" in ip["address"] else "/32"), ip
        if version == "0.4.0":
            bed.equal(ip["version"], "6" if ":" in ip["address"] else "4")
    addresses = {one["local"] for one in netns.ip("addr", "show", "dev", "eth0")[0]["addr_info"]}
    bed.equal(addresses, {ip["address"].split("/")[0] for ip in result["ips"]})


def play(tool, node, version, family):
    pod = bed.Netns()
    tool.write(version)
    with bed.claim(f"{family} {version}: ADD gives what is there"):
        added = tool("add", pod)
        bed.equal(added.returncode, 0)
        check_result(json.loads(added.stdout), version, node, pod)
        bed.equal([(one["pod_namespace"], one["pod_name"]) for one in node.records()],
                  [("shop", "cart-0")])
    with bed.claim(f"{family} {version}: CHECK passes, and tells what was broken"):
        checked = tool("check", pod)
        bed.equal((checked.returncode, checked.stdout), (0, ""))
        route = "-6" if family == "ipv6" else "-4"
        bed.run("ip", "-n", pod.name, route, "route", "del", "default")
        broken = tool("check", pod)
        assert broken.returncode != 0 and "route" in broken.stdout, broken.stdout
    with bed.claim(f"{family} {version}: DEL leaves nothing, twice"):
        for _ in range(2):
            gone = tool("del", pod)
            bed.equal((gone.returncode, gone.stdout), (0, ""))
        node.expect_clean(pod)
    pod.remove()


def main():
    bed.need(os.geteuid() == 0, "needs root")
    program = bed.run(bed.ROOT / "tools" / "get_cnitool").stdout.strip()
    for family in ("ipv4", "ipv6", "dual"):
        node = bed.Node(family=family).start()
        tool = Cnitool(program, node)
        for version in VERSIONS:
            play(tool, node, version, family)
        with bed.claim(f"{family}: STATUS answers"):
            status = tool("status", bed.Netns())
            bed.equal((status.returncode, status.stdout), (0, ""))
        node.stop()
    bed.finish()


main()
