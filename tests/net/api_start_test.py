#!/usr/bin/python3 -B
"""An agent that finds the tables of an earlier one, and an API server that is slow to list Services: it
serves pods at once, Services as they were, and what is gone goes when all is listed.

The interpreter is Debian's, for python3-h2 is."""

import contextlib
import json
import signal
import socket
import sys

import lib_fake_api
import lib_follow_scene
import lib_lab
from lib_api_store import Store
from lib_lab import Lab, Pod, claim, equal
from lib_net import wait_for

CLAIMS = 5
VIP, PORT = "10.96.0.9", 8080
SERVICE = {"spec": {"type": "ClusterIP", "clusterIP": VIP, "clusterIPs": [VIP],
                    "ipFamilies": ["IPv4"], "ports": [{"port": 80, "targetPort": PORT}]}}


def slice_of(address):
    return {"metadata": {"name": "web-1", "namespace": "lab",
                         "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "ports": [{"port": PORT, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}]}


def answers(client):
    """Whether a new connection to the Service stands."""
    with client.inside():
        try:
            socket.create_connection((VIP, 80), timeout=1).close()
        except OSError:
            return False
    return True


def warned(agent):
    with contextlib.suppress(OSError):  # its socket is another one when it serves
        return any("as an earlier agent left it" in text for text in agent.status()["warnings"])
    return None


def kubeconfig(folder, server, authority):
    path = folder / "kubeconfig"
    path.write_text(json.dumps({
        "current-context": "here", "contexts": [{"name": "here",
                                                 "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server.url,
                                               "certificate-authority": str(authority.path)}}],
        "users": [{"name": "u", "user": {}}]}))
    return path


def main():
    lib_lab.begin()
    lab = Lab(arguments=("--service-cidr", "10.96.0.0/16"))
    agent = lab.a
    server, client = lab.pod(agent, "server"), lab.pod(agent, "client")
    with server.inside():
        listener = socket.create_server(("0.0.0.0", PORT))
    lab.write("Service", "lab", "web", SERVICE)
    lab.write("EndpointSlice", "lab", "web-1", slice_of(server.address[4]))
    with claim("a Service is served"):
        wait_for(lambda: answers(client), "the Service")
    agent.stop(signal.SIGKILL)

    store, pki = Store(), lib_follow_scene.Pki()
    for node in lab.nodes:
        store.add(json.loads((lab.objects / "Node/_" / f"{node.node}.json").read_text()))
    with agent.inside():
        api = lib_fake_api.FakeApi(store, pki.server)
    with api, listener:
        api.fail("*", "Service", lib_fake_api.hang(0), times=10**6)
        with claim("with an earlier agent's tables pods are served before Services are listed"):
            agent.start("--tunnel", "true", "--service-cidr", "10.96.0.0/16", "--kubeconfig",
                        kubeconfig(lab.folder, api, pki.authority))
            wait_for(lambda: warned(agent), "it to serve")
            equal(agent.status().get("waiting_for", ""), "")
        with claim("the Service is served as it was"):
            equal(answers(client), True)
        with claim("a pod is added"):
            equal(bool(Pod(lab, agent, "late").attach().address), True)
        with claim("when all is listed, the Service that is not there any more goes"):
            api.heal()
            api.cut_all()
            wait_for(lambda: warned(agent) is False, "all objects to be known")
            wait_for(lambda: not answers(client), "the Service to go")
        agent.stop()
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
