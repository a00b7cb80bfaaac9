"""Kubernetes objects of the Services part, as JSON."""

import json
import os

NAMESPACE = "bench"
PORT = 80
CIDRS = ("10.96.0.0/12", "fd00:96::/108")


def cluster_ips(number):
    """Of Service `number`, at most 2^18: IPv4 and IPv6."""
    number += 256
    return [f"10.{96 + (number >> 16)}.{(number >> 8) & 255}.{number & 255}", f"fd00:96::{number:x}"]


def family(address):
    return "IPv6" if ":" in address else "IPv4"


def service(name, addresses):
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": name,
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"type": "ClusterIP", "clusterIP": addresses[0], "clusterIPs": addresses,
                     "ipFamilies": [family(one) for one in addresses],
                     "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
                     "ports": [{"name": "tcp", "protocol": "TCP", "port": PORT,
                                "targetPort": PORT}]}}


def endpoint_slice(name, node, address, port):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{family(address).lower()}", "namespace": NAMESPACE,
                         "uid": f"{name}-{address}",
                         "labels": {"kubernetes.io/service-name": name}},
            "addressType": family(address),
            "ports": [{"name": "tcp", "protocol": "TCP", "port": port}],
            "endpoints": [{"addresses": [address], "nodeName": node,
                           "conditions": {"ready": True, "serving": True, "terminating": False}}]}


def node(name, address, cidr):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name},
            "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]}}


def write(folder, document):
    """Into a folder of objects as an agent watches it: KIND/NAMESPACE/NAME.json."""
    facts = document["metadata"]
    place = folder / document["kind"] / facts.get("namespace", "_")
    place.mkdir(parents=True, exist_ok=True)
    new = place / f".{facts['name']}"
    new.write_text(json.dumps(document), encoding="utf-8")
    new.rename(place / f"{facts['name']}.json")


def write_others(folder, count):
    """`count` Services of one endpoint each that nobody asks for."""
    for number in range(count):
        name = f"other-{number:06}"
        write(folder, service(name, cluster_ips(number)[:1]))
        write(folder, endpoint_slice(
            name, "elsewhere", f"10.250.{number >> 8 & 255}.{number & 255}", PORT))


def link_others(source, folder, count):
    """The first `count` of what write_others() wrote, in another folder too."""
    for kind in ("Service", "EndpointSlice"):
        place = folder / kind / NAMESPACE
        place.mkdir(parents=True, exist_ok=True)
        for name in sorted(os.listdir(source / kind / NAMESPACE))[:count]:
            os.link(source / kind / NAMESPACE / name, place / name)
