"""The cluster's API server, asked over kept connections: kubectl costs more than what is measured."""

import http.client
import json
import queue
import ssl
import threading
import time

from lib_cluster import STATE, lib_net

GROUPS = {"deployments": "/apis/apps/v1", "endpointslices": "/apis/discovery.k8s.io/v1"}
SERVER = {"ipv4": "172.30.0.1", "dual": "172.30.0.1", "ipv6": "fd00:30::1"}
NAMESPACE = "default"
IDLE = 30  # seconds; the server closes connections that nobody used for 90


def path_of(kind, name="", query=""):
    base = f"{GROUPS.get(kind, '/api/v1')}/namespaces/{NAMESPACE}/{kind}"
    return base + (f"/{name}" if name else "") + (f"?{query}" if query else "")


class Api:
    """One connection, as the cluster's administrator, from the control plane's node."""

    def __init__(self, families, patience=60):
        trust = ssl.create_default_context(cafile=STATE / "pki" / "ca.crt")
        trust.load_cert_chain(STATE / "pki" / "admin.crt", STATE / "pki" / "admin.key")
        self.families = families
        self.connection = http.client.HTTPSConnection(SERVER[families], 6443, context=trust,
                                                      timeout=patience)
        self.connect()

    def connect(self):
        with lib_net.inside("/run/netns/weir-cp"):
            self.connection.connect()
        self.used = time.monotonic()

    def request(self, method, path, body=None, missing_ok=False):
        if time.monotonic() > self.used + IDLE:
            self.connection.close()
            self.connect()
        self.used = time.monotonic()
        self.connection.request(method, path, body and json.dumps(body),
                                {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300 and not (missing_ok and answer.status == 404):
            raise AssertionError(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text)

    def create(self, kind, body):
        return self.request("POST", path_of(kind), body)

    def delete(self, kind, name):
        self.request("DELETE", path_of(kind, name), missing_ok=True)

    def items(self, kind, query=""):
        return self.request("GET", path_of(kind, query=query))["items"]

    def changes(self, kind, seconds, query=""):
        """(when, event) from now on, for at most so long. It takes the connection for itself."""
        version = self.request("GET", path_of(kind, query="limit=1"))["metadata"]["resourceVersion"]
        self.connection.request("GET", path_of(
            kind, query=f"watch=1&timeoutSeconds={seconds}&resourceVersion={version}&{query}"))
        answer = self.connection.getresponse()
        assert answer.status == 200, answer.read()[:300]
        self.connection.sock.settimeout(seconds)
        return self._events(answer)

    @staticmethod
    def _events(answer):
        while line := answer.readline():
            yield time.monotonic(), json.loads(line)


def create_all(families, requests, connections=8):
    """Creates (kind, body) pairs, in their order, over several connections at once."""
    todo, faults = queue.SimpleQueue(), []
    for one in requests:
        todo.put(one)

    def work():
        api = Api(families)
        while not faults:
            try:
                kind, body = todo.get_nowait()
            except queue.Empty:
                return
            try:
                api.create(kind, body)
            except (AssertionError, OSError) as fault:
                faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
