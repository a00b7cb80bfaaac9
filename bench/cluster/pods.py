"""Pods that do nothing: made, waited for, removed."""

import time

from api import Api, create_all
from lib_cluster import retried

PAUSE = "registry.k8s.io/pause:3.10"


def spec(**more):
    return {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False,
            "enableServiceLinks": False, "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": PAUSE}], **more}


def pod(name, node, **labels):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
            "spec": spec(nodeName=node)}


def deployment(name, count, selector):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": count, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels},
                                  "spec": spec(nodeSelector=selector)}}}


def is_ready(one):
    return any(condition["type"] == "Ready" and condition["status"] == "True"
               for condition in one["status"].get("conditions", []))


def wait_ready(changes, count):
    """When each of so many pods was ready, in order."""
    ready = {}
    for when, event in changes:
        if event["type"] in ("ADDED", "MODIFIED") and is_ready(event["object"]):
            ready.setdefault(event["object"]["metadata"]["name"], when)
        if len(ready) == count:
            return sorted(ready.values())
    raise AssertionError(f"{len(ready)} of {count} pods became ready")


def start(families, bodies, patience=120):
    """All at once; (the time before the first, when each was ready)."""
    changes = Api(families).changes("pods", patience)
    begun = time.monotonic()
    create_all(families, [("pods", body) for body in bodies], min(4, len(bodies)))
    return begun, wait_ready(changes, len(bodies))


def remove(api, selector, patience=300):
    """All with a label, and waits until they are gone."""
    query = f"labelSelector={selector}"
    for one in api.items("pods", query):
        api.delete("pods", one["metadata"]["name"])
    wait_gone(api, query, patience)


def wait_gone(api, query, patience=300):
    retried(lambda: not api.items("pods", f"{query}&limit=1"), f"the end of pods {query}", patience)
