#!/usr/bin/env -S python3 -B
"""A local cluster's DNS: a real CoreDNS in pods behind kube-dns knows the cluster's Services."""

import json
import os
import subprocess
import sys

from lib_dns import query, reverse
from lib_lab import ROOT, SKIP, begin, claim, equal, finish
from lib_local import Bed, Place
from lib_net import wait_for

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
          args: [--http=8080]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: lab}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: lab}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: pods, namespace: lab}
spec:
  clusterIP: None
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: lab}
spec: {type: ExternalName, externalName: web.lab.svc.cluster.local}
"""

LATE = """---
apiVersion: v1
kind: Service
metadata: {name: late, namespace: lab}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""

bed = Bed("dns")


def ask(name, kind, server, **options):
    """Answers' data, sorted."""
    code, found = query(shell(), server, name, kind, **options)
    return found if code == "NOERROR" else code


def shell():
    record = json.loads((bed.folder / "pods/lab/shell/record.json").read_text())
    return Place(f"/proc/{record['init']['pid']}/ns/net")


def resolve(name):
    """By the C library, as programs do."""
    return sorted({line.split()[0] for line in
                   bed.run_in("lab/shell", "getent", "ahosts", name).splitlines()})


def of_web(mark):
    return sorted(a for p in bed.pods("web-").values() for a in p["addresses"] if mark in a)


def cluster_ips(name):
    return bed.object("Service", "lab", name)["spec"]["clusterIPs"]


def names():
    with claim("CoreDNS runs in kube-system, behind kube-dns at .10"):
        equal(bed.object("Service", "kube-system", "kube-dns")["spec"]["clusterIPs"],
              ["10.96.0.10", "fd00:96::a"])
        equal(len(bed.pods("coredns-")), 2)
        equal({p["node"] for p in bed.pods("coredns-").values()}, {"n0", "n1"})
    with claim("/etc/hosts has the pod's own name only; /etc/resolv.conf names kube-dns"):
        hosts = bed.run_in("lab/shell", "cat", "/etc/hosts")
        assert "web" not in hosts and "\tshell\n" in hosts, hosts
        conf = bed.run_in("lab/shell", "cat", "/etc/resolv.conf")
        for line in ("nameserver 10.96.0.10", "options ndots:5",
                     "search lab.svc.cluster.local svc.cluster.local cluster.local"):
            assert line in conf.splitlines(), conf


def records():
    server = bed.pods("coredns-")[min(bed.pods("coredns-"))]["addresses"][0]
    full = "lab.svc.cluster.local"
    with claim("a Service has its ClusterIPs"):
        equal([ask(f"web.{full}", "A", server), ask(f"web.{full}", "AAAA", server)],
              [[ip] for ip in cluster_ips("web")])
    with claim("a headless one has its ready pods"):
        wait_for(lambda: ask(f"pods.{full}", "A", server) == of_web("."), "the names", 5)
        equal(ask(f"pods.{full}", "AAAA", server), of_web(":"))
    with claim("SRV records name port and target"):
        equal(ask(f"_http._tcp.web.{full}", "SRV", server), [f"0 100 80 web.{full}."])
        targets = [a.replace(".", "-").replace(":", "-") for mark in ".:" for a in of_web(mark)]
        equal(ask(f"_http._tcp.pods.{full}", "SRV", server),
              sorted(f"0 100 8080 {target}.pods.{full}." for target in targets))
    with claim("an ExternalName is an alias"):
        equal(ask(f"alias.{full}", "A", server), sorted([f"web.{full}.", cluster_ips("web")[0]]))
    with claim("PTR records lead back, in both families"):
        for ip in cluster_ips("web"):
            equal(ask(reverse(ip), "PTR", server), [f"web.{full}."])
    with claim("what is not there does not exist"):
        for name in (f"nothing.{full}.", "example.com."):
            equal(ask(name, "A", server), "NXDOMAIN")
        equal(ask(full, "A", server), [])
    with claim("a new Service has its name at once, a deleted one loses it"):
        bed.apply(LATE)
        wait_for(lambda: "late" in bed.objects("Service", "lab"), "the Service", 5)
        wait_for(lambda: ask(f"late.{full}", "A", server) == cluster_ips("late"), "the name", 5)
        bed.delete(LATE)
        wait_for(lambda: ask(f"late.{full}", "A", server) == "NXDOMAIN", "the name to go", 5)


def by_service():
    with claim("kube-dns answers by UDP and TCP, in both families"):
        for server in ("10.96.0.10", "fd00:96::a"):
            for tcp in (False, True):
                equal(ask("web.lab.svc.cluster.local", "A", server, tcp=tcp),
                      [cluster_ips("web")[0]])
    with claim("programs find short and full names"):
        for name in ("web", "web.lab", "web.lab.svc", "web.lab.svc.cluster.local"):
            equal(resolve(name), sorted(cluster_ips("web")))
        equal(resolve("pods"), sorted(of_web(".") + of_web(":")))
    with claim("names lead to the Services' pods"):
        bed.run_in("lab/shell", "weir-pod-server", "--requests=20", "--rps=100",
                   "--load=http://web/", "--load=http://web.lab.svc.cluster.local/",
                   "--load=http://pods:8080/")


def main():
    begin()
    made = subprocess.run([ROOT / "tools" / "get_coredns"], capture_output=True, text=True,
                          check=False)
    if made.returncode != 0:
        print(f"skipped: {made.stderr.splitlines()[-1]}")
        sys.exit(SKIP)
    try:
        bed.up(PODS, "--dns", made.stdout.strip())
        for part in (names, records) + (() if os.environ.get("WEIR_NO_VIPS") else (by_service,)):
            part()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error}\n{error.stdout}\n{error.stderr}") from error
    bed.down()
    finish(12)


main()
