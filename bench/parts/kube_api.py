"""Many requests to the API server of tests/cluster, and what watches of it cost."""

import contextlib
import http.client
import json
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor


class Api:
    """As cluster-admin. The caller is in the network namespace of the control plane, as are the
    threads that it starts."""

    def __init__(self, pki, host, workers=8):
        self.pki, self.host = pki, host
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(workers)

    def connection(self, patience=60):
        context = ssl.create_default_context(cafile=self.pki / "ca.crt")
        context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        return http.client.HTTPSConnection(self.host, 6443, context=context, timeout=patience)

    def ask(self, method, path, body=None, kind="application/json"):
        """The status, and what was answered."""
        for attempt in range(2):  # a connection that was idle may be closed by now
            if not hasattr(self._local, "connection"):
                self._local.connection = self.connection()
            try:
                self._local.connection.request(method, path, json.dumps(body) if body else None,
                                               {"Content-Type": kind})
                answer = self._local.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                del self._local.connection
                if attempt:
                    raise
        raise AssertionError("not reached")

    def many(self, requests):
        """Each is (method, path, body); what was refused, as a list."""
        answers = self._pool.map(lambda one: self.ask(*one), requests)
        return [(status, text[:300]) for status, text in answers if status >= 300]

    def paced(self, requests, rate):
        """As many(), `rate` of them a second; also the seconds that it took."""
        began, waiting = time.monotonic(), []
        for number, one in enumerate(requests):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            waiting.append(self._pool.submit(self.ask, *one))
        refused = [one.result() for one in waiting if one.result()[0] >= 300]
        return refused, time.monotonic() - began


class Stream(threading.Thread):
    """A watch, of which the bytes are counted and thrown away; `listed` has those of the list before."""

    def __init__(self, api, path, accept):
        super().__init__(daemon=True)
        self.bytes, self.told = 0, 0
        path += "&" if "?" in path else "?"
        version = json.loads(api.ask("GET", path + "limit=1")[1])["metadata"]["resourceVersion"]
        of_list = accept.replace("ObjectMetadata", "ObjectMetadataList")
        self.listed = sum(len(piece) for piece in pieces(api.connection(), path, of_list))
        self.pieces = pieces(api.connection(None), f"{path}watch=1&resourceVersion={version}", accept)
        self.start()

    def run(self):
        with contextlib.suppress(http.client.HTTPException, OSError):  # the server's end
            for piece in self.pieces:
                self.bytes += len(piece)

    def since(self):
        """Bytes since the last call."""
        before, self.told = self.told, self.bytes
        return self.told - before


def pieces(connection, path, accept):
    connection.request("GET", path, headers={"Accept": accept})
    answer = connection.getresponse()
    assert answer.status == 200, f"{path}: {answer.status} {answer.read(300)}"
    while piece := answer.read1(1 << 20):
        yield piece


# The ways in which an API server can tell of pods; Nodes to compare with.
WAYS = {
    "Pods, JSON": ("/api/v1/pods", "application/json"),
    "Pods, protobuf": ("/api/v1/pods", "application/vnd.kubernetes.protobuf"),
    "Pods that run and have an address, JSON": (
        "/api/v1/pods?fieldSelector=status.phase%3DRunning%2Cspec.hostNetwork%3Dfalse%2C"
        "status.podIP%21%3D", "application/json"),
    "metadata of Pods, JSON": (
        "/api/v1/pods", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
    "table of Pods with metadata, JSON": (
        "/api/v1/pods", "application/json;as=Table;g=meta.k8s.io;v=v1"),
    "PodEndpoints, JSON": ("/apis/weir.dev/v1/podendpoints", "application/json"),
    "Nodes, JSON": ("/api/v1/nodes", "application/json"),
}


def streams(api):
    return {name: Stream(api, path, accept) for name, (path, accept) in WAYS.items()}
