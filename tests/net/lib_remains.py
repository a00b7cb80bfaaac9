"""What a node has of its pods, and whether a pod is there."""

import os
import random

import lib_net
from lib_net import RCU_MARK, wait_for


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def held_namespaces(process):
    """Network namespaces that its descriptors keep alive."""
    found = set()
    for entry in os.scandir(f"/proc/{process.pid}/fd"):
        try:
            name = os.readlink(entry.path)
        except FileNotFoundError:  # closed meanwhile
            continue
        if name.startswith("net:"):
            found.add(name)
    return sorted(found)


def remains(node):
    """Everything of pods that a node has, by kind. REQUIRES: its agent runs."""
    links = [name for name in node.links() if name.startswith("weir") and name != "weir_vxlan"]
    routes = [route["dst"] for family in ("-4", "-6") for route in
              node.json(family, "route", "show", "table", "all") if route.get("dev") in links]
    neighbours = [entry["dst"] for entry in node.json("neigh", "show", "nud", "permanent")
                  if entry["dev"] in links]
    return {"links": sorted(links), "routes": sorted(routes), "neighbours": sorted(neighbours),
            "state": files_below(node.state), "run": files_below(node.run_dir),
            "endpoints": sorted(one["pod"] for one in node.get("/v1/endpoints")),
            "map": sorted(key.hex() for key in node.map("weir_endpoint")),
            "netns": sorted(key.hex() for key in node.map("weir_netns")),
            "namespaces": held_namespaces(node.process), "rcu": RCU_MARK.exists(),
            "pins": node.pins(), "used": [pool["used"] for pool in node.status()["pools"]]}


def answers(client, pod):
    """By all its addresses, within 5 s."""
    for family, address in pod.address.items():
        with lib_net.icmp_socket(client, family) as sock:
            number = random.randrange(1, 65536)

            def echoed(sock=sock, family=family, address=address, number=number):
                sock.sendto(lib_net.echo_request(family, number, b"there?"), (address, 0))
                try:
                    return lib_net.next_icmp(sock, family, lambda kind, _, other, __: (
                        kind, other) == (lib_net.ECHO_REPLY[family], number), "a reply", 1)
                except AssertionError:
                    return None

            wait_for(echoed, f"{pod.pod} to answer at {address}", 5)
