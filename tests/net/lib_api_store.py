"""The objects of a pretended cluster and all that happened to them: what etcd is to API servers.

An object of a test carries a mark in a field that survives Weir's reading of it, so what a follower
has can be compared: {(kind, key): mark}."""

import contextlib
import copy
import threading

PATHS = {
    "/api/v1/nodes": "Node",
    "/api/v1/namespaces": "Namespace",
    "/api/v1/pods": "Pod",
    "/api/v1/services": "Service",
    "/apis/discovery.k8s.io/v1/endpointslices": "EndpointSlice",
    "/apis/weir.dev/v1/podendpoints": "PodEndpoint",
}
KINDS = tuple(PATHS.values())
NAMESPACED = ("Pod", "Service", "EndpointSlice", "PodEndpoint")
VERSIONS = {"EndpointSlice": "discovery.k8s.io/v1", "PodEndpoint": "weir.dev/v1"}
NODE = "a"  # the follower's own
SERVICE_LABEL = "kubernetes.io/service-name"
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"


def make(kind, name, mark, labels=None, phase="Running", node=NODE):
    """An object as an API server has it, without its resourceVersion."""
    metadata = {"name": name, "uid": f"{kind}-{name}", "labels": dict(labels or {})}
    if kind in NAMESPACED:
        metadata["namespace"] = "lab"
    one = {"kind": kind, "apiVersion": VERSIONS.get(kind, "v1"), "metadata": metadata}
    if kind == "Node":
        metadata["labels"][ZONE_LABEL] = mark
        one["spec"] = {"podCIDRs": ["10.244.7.0/24"]}
        one["status"] = {"addresses": [{"type": "InternalIP", "address": "172.30.0.17"}]}
    elif kind == "Namespace":
        metadata["labels"]["mark"] = mark
    elif kind == "Pod":
        metadata["labels"]["mark"] = mark
        one["spec"] = {"nodeName": node}
        one["status"] = {"phase": phase, "podIPs": [{"ip": "10.244.7.9"}]}
    elif kind == "Service":
        one["spec"] = {"type": "ClusterIP", "selector": {"mark": mark}, "clusterIP": "10.96.0.9",
                       "clusterIPs": ["10.96.0.9"], "ports": [{"port": 80, "targetPort": 8080}]}
    elif kind == "PodEndpoint":
        one["spec"] = {"node": "b", "addresses": ["10.244.8.9"], "labels": {"mark": mark}}
    else:
        metadata["labels"][SERVICE_LABEL] = mark
        one.update(addressType="IPv4", ports=[{"name": "", "port": 8080, "protocol": "TCP"}],
                   endpoints=[{"addresses": ["10.244.7.9"], "conditions": {"ready": True}}])
    return one


def mark_of(one):
    labels = one["metadata"].get("labels", {})
    if one["kind"] == "Node":
        return labels.get(ZONE_LABEL)
    if one["kind"] == "Service":
        return one["spec"].get("selector", {}).get("mark")
    if one["kind"] == "PodEndpoint":
        return one["spec"].get("labels", {}).get("mark")
    return labels.get("mark", labels.get(SERVICE_LABEL))


def key_of(one):
    metadata = one["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else metadata["name"]


def selected(one, query):
    """By what Weir asks for: labels that must be absent, fields that must differ or be equal."""
    if one is None:
        return False
    for term in filter(None, query.get("labelSelector", "").split(",")):
        assert term.startswith("!"), term
        if term[1:] in one["metadata"]["labels"]:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        field, differs, text = term.partition("!=") if "!=" in term else term.partition("=")
        value = one
        for word in field.split("."):
            value = value.get(word, {})
        if (value == text) == (differs == "!="):
            return False
    return True


def is_wanted(one):
    """Ended pods, those of other nodes, headless Services and what other proxies serve are of no use."""
    labels = one["metadata"]["labels"]
    return (one.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            and one.get("spec", {}).get("nodeName", NODE) == NODE
            and OTHER_PROXY not in labels and HEADLESS not in labels)


class Store:
    def __init__(self):
        self.changed = threading.Condition(threading.RLock())
        self.version = 1000
        self.oldest = 1000  # what came before is forgotten
        self.objects = {}   # (kind, key): object
        self.events = []    # (version, kind, before, after)
        self.pages = {}     # (kind, version): (version, objects): lists that are still read

    def put(self, kind, name, mark, **more):
        one = make(kind, name, str(mark), **more)
        self._happens(kind, key_of(one), one)

    def add(self, one):
        """As it is."""
        one["metadata"].setdefault("labels", {})
        self._happens(one["kind"], key_of(one), one)

    def delete(self, kind, name):
        key = f"lab/{name}" if kind in NAMESPACED else name
        if (kind, key) in self.objects:
            self._happens(kind, key, None)

    def _happens(self, kind, key, after):
        with self.changed:
            self.version += 1
            before = self.objects.pop((kind, key), None)
            if after is not None:
                after["metadata"]["resourceVersion"] = str(self.version)
                self.objects[kind, key] = after
            self.events.append((self.version, kind, before, after))
            self.changed.notify_all()

    def compact(self):
        """No watch can begin before now."""
        with self.changed:
            self.oldest = self.version
            self.events.clear()
            self.pages.clear()

    def backup(self):
        with self.changed:
            return self.version, dict(self.objects)

    def restore(self, backup):
        """As from a backup: versions go back, and nobody is told what happened."""
        with self.changed:
            self.version, objects = backup
            self.objects = dict(objects)
            self.oldest = self.version
            self.events.clear()
            self.changed.notify_all()

    def snapshot(self, kind, query):
        """The version, and the selected objects in the order of their keys."""
        with self.changed:
            found = [(key, one) for (of, key), one in self.objects.items()
                     if of == kind and selected(one, query)]
            return self.version, [one for _, one in sorted(found, key=lambda pair: pair[0])]

    def since(self, version, kind, query):
        """The events of a watch: [(type, object)]."""
        found = []
        with self.changed:
            for at, of, before, after in self.events:
                if at <= version or of != kind:
                    continue
                was, is_now = selected(before, query), selected(after, query)
                if is_now:
                    found.append(("MODIFIED" if was else "ADDED", after))
                elif was:
                    gone = copy.deepcopy(before)
                    gone["metadata"]["resourceVersion"] = str(at)
                    found.append(("DELETED", gone))
        return found

    def wanted(self):
        """What Weir must have."""
        with self.changed:
            return {(kind, key): mark_of(one) for (kind, key), one in self.objects.items()
                    if is_wanted(one)}

    @contextlib.contextmanager
    def stopped(self):
        """Nothing happens meanwhile."""
        with self.changed:
            yield
