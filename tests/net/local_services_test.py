#!/usr/bin/env -S python3 -B
"""A local cluster's Services: what an API server, a cloud and Kubernetes' EndpointSlice controller
would add to them is in the objects that agents read, follows the pods, and stays."""

import subprocess
from pathlib import Path

from lib_lab import begin, claim, equal, finish
from lib_local import Bed
from lib_net import wait_for

NS = "lab"
PODS = """
apiVersion: v1
kind: Namespace
metadata: {name: lab}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: lab}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          command: [sh, -c, 'touch /tmp/ready; exec weir-pod-server --http=8080']
          ports: [{name: http, containerPort: 8080}]
          readinessProbe:
            {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: lab, labels: {app: web}}
spec:
  nodeName: n0
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      args: [--http=9090]
      ports: [{name: http, containerPort: 9090}]
"""


def service(name, spec, ports="[{name: http, port: 80, targetPort: http}]", selector="{app: web}",
            rest=""):
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: lab}}
spec: {{{spec}selector: {selector}, ports: {ports}}}
{rest}"""


SERVICES = (
    service("plain", "") +
    service("dual", "ipFamilyPolicy: PreferDualStack, ") +
    service("six", "ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4], ") +
    service("asked", "type: NodePort, clusterIP: 10.96.0.77, ",
            "[{name: http, port: 80, targetPort: http, nodePort: 30080}]") +
    service("headless", "clusterIP: None, ") +
    service("eager", "publishNotReadyAddresses: true, ") +
    service("near", "trafficDistribution: PreferSameZone, ") +
    service("balanced", "type: LoadBalancer, ipFamilyPolicy: PreferDualStack, ") +
    service("local", "type: LoadBalancer, externalTrafficPolicy: Local, loadBalancerIP: "
            "198.51.100.200, ", selector="{app: nobody}") +
    service("proxied", "type: LoadBalancer, ",
            rest="status: {loadBalancer: {ingress: [{ip: 203.0.113.7, ipMode: Proxy}]}}\n") +
    service("bare", "", selector="{}") + """---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: bare-1, namespace: lab, labels: {kubernetes.io/service-name: bare}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [192.0.2.1]}]
""")

bed = Bed("services")


def spec(name):
    return bed.object("Service", NS, name)["spec"]


def ingress(name):
    return [i["ip"] for i in bed.object("Service", NS, name)["status"]["loadBalancer"]["ingress"]]


def addresses(service_name):
    return sorted(a for e in bed.endpoints(NS, service_name) for a in e["addresses"])


def of_pods(family_mark, ready=None):
    return sorted(a for p in bed.pods().values() for a in p["addresses"]
                  if family_mark in a and (ready is None or p["ready"] == ready))


def have_addresses():
    with claim("ClusterIPs follow ipFamilyPolicy and ipFamilies, in their order"):
        for name, families in (("plain", "4"), ("dual", "46"), ("six", "64"), ("asked", "4")):
            found = "".join("6" if ":" in ip else "4" for ip in spec(name)["clusterIPs"])
            equal(found, families, name)
            equal(spec(name)["clusterIP"], spec(name)["clusterIPs"][0], name)
        every = [ip for s in bed.objects("Service", NS).values()
                 for ip in s["spec"].get("clusterIPs") or [] if ip != "None"]
        equal(len(every), len(set(every)), "clusterIPs")
    with claim("requests are respected"):
        equal(spec("asked")["clusterIP"], "10.96.0.77")
        equal(spec("asked")["ports"][0]["nodePort"], 30080)
        equal(ingress("local"), ["198.51.100.200"])
        equal(spec("headless")["clusterIPs"], ["None"])
    with claim("NodePorts and health check ports are given where they are due"):
        assert 30000 <= spec("balanced")["ports"][0]["nodePort"] <= 32767, spec("balanced")
        assert 30000 <= spec("local")["healthCheckNodePort"] <= 32767, spec("local")
        assert "nodePort" not in spec("plain")["ports"][0], spec("plain")
        assert "healthCheckNodePort" not in spec("balanced"), spec("balanced")
    with claim("a load balancer's address is given in each family; one that is said stays"):
        four, six = ingress("balanced")
        assert four.startswith("198.51.100.") and six.startswith("2001:db8:100::"), (four, six)
        equal(ingress("proxied"), ["203.0.113.7"])
    with claim("agents are told the ranges"):
        pid = bed.status()["nodes"][0]["agent_pid"]
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        for word in ("10.96.0.0/16", "fd00:96::/112"):
            equal(words[words.index(word) - 1], "--service-cidr")


def have_slices():
    with claim("slices have the ready pods of their family"):
        equal(addresses("plain"), of_pods("."))
        equal(addresses("dual"), sorted(of_pods(".") + of_pods(":")))
        equal({s["addressType"] for s in bed.slices(NS, "dual")}, {"IPv4", "IPv6"})
    with claim("a named port is resolved pod by pod, one slice for each outcome"):
        ports = {p["port"]: len(s["endpoints"]) for s in bed.slices(NS, "plain")
                 for p in s["ports"]}
        equal(ports, {8080: 2, 9090: 1})
    with claim("endpoints tell node, zone and pod"):
        nodes = {"n0": "a", "n1": "b"}
        for endpoint in bed.endpoints(NS, "plain"):
            equal(endpoint["zone"], nodes[endpoint["nodeName"]])
            pod = bed.pods()[endpoint["targetRef"]["name"]]
            equal((pod["node"], pod["addresses"][0]),
                  (endpoint["nodeName"], endpoint["addresses"][0]))
        equal(bed.object("Node", "_", "n1")["metadata"]["labels"]["topology.kubernetes.io/zone"],
              "b")
    with claim("hints are there for a trafficDistribution only"):
        for endpoint in bed.endpoints(NS, "near"):
            equal(endpoint["hints"]["forZones"], [{"name": endpoint["zone"]}])
        assert all("hints" not in e for e in bed.endpoints(NS, "plain"))
    with claim("a Service without pods has an empty slice; one without selector has those given"):
        equal([s.get("endpoints") or [] for s in bed.slices(NS, "local")], [[]])
        equal(addresses("bare"), ["192.0.2.1"])
        equal(len(bed.slices(NS, "bare")), 1)


def lead_in():
    with claim("the world outside leads a balancer's addresses to all nodes"):
        four, six = ingress("balanced")
        equal(bed.routes(4)[four], ["172.30.0.10", "172.30.0.11"])
        equal(bed.routes(6)[six], ["fd00:30::a", "fd00:30::b"])
    with claim("with traffic policy Local only to nodes with ready endpoints; a proxy's not at all"):
        assert "198.51.100.200" not in bed.routes(4), bed.routes(4)
        assert "203.0.113.7" not in bed.routes(4), bed.routes(4)
        # The pod that has been there all along is now this Service's.
        changed = SERVICES.replace("{app: nobody}", "{app: web}").replace("replicas: 2", "replicas: 0")
        bed.apply(PODS.replace("replicas: 2", "replicas: 0") + changed)
        wait_for(lambda: bed.routes(4).get("198.51.100.200") == ["172.30.0.10"], "the route")
        bed.apply(PODS + SERVICES, "--wait", 60)
        wait_for(lambda: "198.51.100.200" not in bed.routes(4), "the route to go")


def follow():
    with claim("what is applied again is unchanged and keeps its addresses"):
        before = bed.objects("Service", NS)
        said = bed.apply(PODS + SERVICES).stdout.splitlines()
        assert all(line.endswith(" unchanged") for line in said), said
        equal(bed.objects("Service", NS), before)
    with claim("an unready pod's endpoint is not ready, unless the Service wants it so"):
        name = next(n for n in bed.pods("web-"))
        bed.run_in(f"{NS}/{name}", "rm", "/tmp/ready")

        def conditions(service_name):
            return next(e["conditions"] for e in bed.endpoints(NS, service_name)
                        if e["targetRef"]["name"] == name)
        wait_for(lambda: not conditions("plain")["ready"], "the endpoint to be unready")
        assert not conditions("plain")["serving"] and not conditions("plain")["terminating"]
        assert conditions("eager")["ready"] and not conditions("eager")["serving"]
        bed.run_in(f"{NS}/{name}", "touch", "/tmp/ready")
        wait_for(lambda: conditions("plain")["ready"], "the endpoint to be ready")
    with claim("changes of type give and take back, and keep the ClusterIP"):
        before = spec("plain")["clusterIP"]
        bed.apply(service("plain", "type: LoadBalancer, "))
        wait_for(lambda: spec("plain")["type"] == "LoadBalancer", "the type")
        address = ingress("plain")[0]
        wait_for(lambda: address in bed.routes(4), "the route")
        equal(spec("plain")["clusterIP"], before)
        bed.apply(service("plain", ""))
        wait_for(lambda: spec("plain")["type"] == "ClusterIP", "the type")
        wait_for(lambda: address not in bed.routes(4), "the route to go")
        assert "nodePort" not in spec("plain")["ports"][0]
        equal(spec("plain")["clusterIP"], before)
    with claim("a deleted Service takes its slices with it"):
        bed.delete(service("dual", ""))
        wait_for(lambda: not bed.slices(NS, "dual"), "the slices to go")
        assert "dual" not in bed.objects("Service", NS)


def refuse():
    cases = {
        "clusterIP 10.96.0.77 is taken by Service lab/asked": "clusterIP: 10.96.0.77, ",
        "clusterIP 10.0.0.1 is not in 10.96.0.0/16": "clusterIP: 10.0.0.1, ",
        "loadBalancerIP 198.51.100.200 is taken by Service lab/local":
            "type: LoadBalancer, loadBalancerIP: 198.51.100.200, ",
    }
    for wanted, text in cases.items():
        with claim(f"apply refuses: {wanted}"):
            before = bed.objects("Service", NS)
            done = bed.apply(service("new", text), check=False)
            equal(done.returncode, 2)
            assert f"Service lab/new: {wanted}" in done.stderr, done.stderr
            equal(bed.objects("Service", NS), before)


def main():
    begin()
    try:
        bed.up(PODS + SERVICES, "--zones", "a,b", "--dns", "none")
        for part in (have_addresses, have_slices, lead_in, follow, refuse):
            part()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error}\n{error.stdout}\n{error.stderr}") from error
    bed.down()
    finish(19)


main()
