"""Steady traffic between two pods of a cluster, on two nodes, while the test does something to both."""

import lib_cluster
from lib_cluster import AGNHOST, lib_net
from lib_lab import equal
from lib_net import wait_for
from lib_traffic import Client, Server, Traffic

PORT = 7000
MANIFEST = f"""
# what the traffic runs between
apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec:
  nodeName: n0
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: "{AGNHOST}", args: [pause]}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: server, labels: {{app: server}}}}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: "{AGNHOST}", args: [pause]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: server}}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {{app: server}}
  ports:
  - {{name: tcp, port: {PORT}}}
  - {{name: udp, port: {PORT}, protocol: UDP}}
"""


class Steady(Traffic):
    """From the pod `client` to the pod `server`, by its addresses and by its Service's."""

    def __init__(self, cluster):
        self.clients, self.children = {}, []
        client = cluster.place(cluster.get("pod", "client"))
        server = cluster.place(cluster.get("pod", "server"))
        service = {lib_cluster.family_of(ip): ip
                   for ip in cluster.get("service", "server")["spec"]["clusterIPs"]}
        for family, address in server.address.items():
            tcp = lib_net.listener(server, family, address, PORT)
            udp = lib_net.datagrams(server, family, address, PORT)
            self.start(Server(tcp, udp))
            tcp.close()
            udp.close()
            for name, target in (("pod", address), ("Service", service[family])):
                control = self.start(Client(client, family, (target, PORT), (target, PORT)))
                self.clients[f"IPv{family} to the {name}"] = control, (target, PORT)


def flows_on(traffic, what):
    before = traffic.now()
    wait_for(lambda: traffic.grown(before), f"traffic to go on {what}: {before}")


def lost(traffic):
    """What went wrong so far, by name. A datagram that is still under way does not count."""
    return {name: one for name, one in traffic.now().items() if one["errors"]}


def no_loss(result):
    for name, one in result.items():
        what = f"{name}: {one}"
        equal((one["udp_lost"], one["errors"], one["unanswered"]), (0, [], False), what)
        assert one["rounds"] >= 10 and one["opened"] >= 5 and one["udp_sent"] >= 100, what
        print(f"      {name}: {one['udp_sent']} datagrams, {one['rounds']} echoes of one connection "
              f"(longest {one['longest'] * 1000:.0f} ms), {one['opened']} new ones: none lost")
