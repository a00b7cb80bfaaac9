#!/usr/bin/env -S python3 -B
"""Bad input to weir-cni: one clear error in the specification's shape each, and nothing left
behind. The socket is fed the same without the plugin's own checks before it."""

import json
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cni"))
import bed

VERSION, CONTAINER, ENVIRONMENT, DECODING, CONFIG, LATER = 1, 3, 4, 6, 7, 11
TRAVERSAL = ("../../etc/passwd", "..", "a/../b", "/abs", ".hidden", "-dash", "", "a b", "x" * 201,
             "new\nline", "umlautä", "quote\"")
IFNAMES = ("", ".", "..", "a/b", "a:b", "a b", "sixteen-letters!", "lo", "x%d", "tab\t")


def runtime_cases():
    port = {"hostPort": 8080, "containerPort": 80}
    for direction in ("ingress", "egress"):
        for what, rate in (("negative", -1), ("one bit", 1), ("enormous", 10**15 + 1),
                           ("beyond 64 bits", 10**30), ("a text", "10M"), ("a fraction", 1e6 + .5)):
            yield f"{direction} rate {what}", {"bandwidth": {f"{direction}Rate": rate}}
        for what, burst in (("negative", -1), ("enormous", 2**36), ("without a rate", 8000)):
            yield f"{direction} burst {what}", {"bandwidth": {f"{direction}Burst": burst}}
    yield "bandwidth a number", {"bandwidth": 7}
    for key, values in (("hostPort", (-1, 0, 65536, "80")), ("containerPort", (-1, 0, 65536, None)),
                        ("protocol", ("icmp", 6)), ("hostIP", ("10.0.0.x", "10.0.0.0/8", 7))):
        for value in values:
            yield f"{key} {value!r}", {"portMappings": [dict(port, **{key: value})]}
    yield "a port twice", {"portMappings": [port, dict(port, containerPort=81)]}
    yield "a port of all addresses and of one", {"portMappings": [port, dict(port, hostIP="::1")]}
    yield "ports an object", {"portMappings": port}
    yield "ips a text", {"ips": "10.244.7.9"}
    for address in ("10.244.7.x", "10.244.7.9/33", "fd00:7::9/129", "", 7, None):
        yield f"ips with {address!r}", {"ips": [address]}
    yield "two IPv4 addresses", {"ips": ["10.244.7.9", "10.244.7.10"]}
    yield "a list", []


def stdin_cases(node):
    good = json.dumps(node.config())
    runtime = [(f"runtimeConfig: {what}", json.dumps(node.config(runtimeConfig=value)), CONFIG)
               for what, value in runtime_cases()]
    return [
        *runtime,
        ("empty", "", DECODING), ("garbage", "\x01\x02garbage", DECODING),
        ("truncated", good[:-10], DECODING),
        ("a list", "[]", DECODING),
        ("a number", "7", DECODING),
        ("two documents", good + good, DECODING), ("huge", good[:-1] + " " * (2 << 20), DECODING),
        ("deep nesting", good[:-1] + ',"x":' + "[" * 100000 + "]" * 100000 + "}", DECODING),
        ("unknown version", json.dumps(node.config("9.9.9")), VERSION),
        ("old version", json.dumps(node.config("0.3.1")), VERSION),
        ("no version", json.dumps({"name": "weir", "type": "weir-cni"}), VERSION),
        ("version a number", json.dumps(node.config(1)), VERSION),
        ("no name", json.dumps(dict(node.config(), name="")), CONFIG),
        ("name a list", json.dumps(dict(node.config(), name=["x"])), CONFIG),
        ("prevResult a number", json.dumps(node.config(prevResult=7)), CONFIG),
        ("prevResult with interfaces a number",
         json.dumps(node.config(prevResult={"interfaces": 7})), CONFIG),
        ("runDir a number", json.dumps(dict(node.config(), runDir=7)), CONFIG),
        ("runDir relative", json.dumps(dict(node.config(), runDir="run")), CONFIG),
    ]


def stdin(node, pod):
    for what, text, code in stdin_cases(node):
        with bed.claim(f"stdin: {what} is error {code}"):
            bed.equal(node.call("ADD", "c1", pod, stdin=text).code(), code)
            node.expect_clean(pod)


def environment(node, pod):
    for container in TRAVERSAL:
        with bed.claim(f"container ID {container[:20]!r} is error {ENVIRONMENT}"):
            for command in ("ADD", "CHECK", "DEL"):
                bed.equal(node.call(command, container, pod).code(), ENVIRONMENT)
    for ifname in IFNAMES:
        with bed.claim(f"interface name {ifname!r} is error {ENVIRONMENT}"):
            bed.equal(node.call("ADD", "c1", pod, ifname).code(), ENVIRONMENT)
    for name in ("container", "netns", "ifname"):
        with bed.claim(f"{name} not set is error {ENVIRONMENT}"):
            variables = {"container": "c1", "netns": pod, "ifname": "eth0", name: None}
            bed.equal(node.call("ADD", **variables).code(), ENVIRONMENT)
    for command in ("", "add", "FROB", None):
        with bed.claim(f"command {command!r} is error {ENVIRONMENT}"):
            bed.equal(node.call(command, "c1", pod).code(), ENVIRONMENT)
    for args in ("K8S_POD_NAME", "IP=10.0.0.x", "IP=10.9.9.9", "IP=10.244.7.1",
                 "IP=10.244.7.9,10.244.7.10"):
        with bed.claim(f"CNI_ARGS {args!r} is error {ENVIRONMENT}"):
            bed.equal(node.call("ADD", "c1", pod, args=args).code(), ENVIRONMENT)
    with bed.claim("after all that nothing is left"):
        node.expect_clean(pod)


def namespaces(node, pod):
    no_netns = node.folder / "file"
    no_netns.write_text("")
    fifo = node.folder / "fifo"
    os.mkfifo(fifo)
    for what, path, code in (("a missing path", "/run/netns/weircni-none", CONTAINER),
                             ("a relative path", "run/netns/x", ENVIRONMENT),
                             ("a file", str(no_netns), ENVIRONMENT),
                             ("a FIFO", str(fifo), ENVIRONMENT),
                             ("a directory", "/tmp", ENVIRONMENT),
                             ("another kind of namespace", "/proc/self/ns/mnt", ENVIRONMENT),
                             ("the node's own namespace", node.netns.path, ENVIRONMENT)):
        with bed.claim(f"CNI_NETNS {what} is error {code}"):
            bed.equal(node.call("ADD", "c1", path).code(), code)
            node.expect_clean(pod)


def clashes(node, pod):
    with bed.claim("an interface of that name in the pod is an error, and stays"):
        bed.run("ip", "-n", pod.name, "link", "add", "eth0", "type", "veth", "peer", "name", "x")
        bed.equal(node.call("ADD", "c1", pod).code(), ENVIRONMENT)
        assert "eth0" in pod.links()
        bed.run("ip", "-n", pod.name, "link", "del", "eth0")
        node.expect_clean(pod)
    with bed.claim("ADD twice gives the same result, and one link"):
        first = node.add("c1", pod)
        bed.equal(node.add("c1", pod), first)
        bed.equal(len(node.records()), 1)
    with bed.claim("a second interface of the pod is its own, and the default route stays"):
        before = pod.ip("-6", "route") + pod.ip("-4", "route")
        node.add("c1", pod, ifname="net1")
        bed.equal(len(node.records()), 2)
        node.delete("c1", pod, ifname="net1")
        bed.equal(pod.ip("-6", "route") + pod.ip("-4", "route"), before)
    with bed.claim("the same attachment in another namespace is an error"):
        bed.equal(node.call("ADD", "c1", bed.Netns()).code(), ENVIRONMENT)
    with bed.claim("ADD over a damaged attachment says what is missing"):
        bed.run("ip", "-n", pod.name, "addr", "flush", "dev", "eth0")
        reply = node.call("ADD", "c1", pod)
        bed.equal(reply.code(), ENVIRONMENT)
        assert "address" in reply.document["msg"], reply.text
    with bed.claim("an address that another pod has is an error"):
        taken = first["ips"][0]["address"].split("/")[0]
        other = bed.Netns()
        assert node.call("ADD", "c2", other, args=f"IP={taken}").code() in (ENVIRONMENT, LATER)
        bed.equal(sorted(other.links()), ["lo"])
    with bed.claim("DEL leaves nothing"):
        node.delete("c1", pod)
        node.expect_clean(pod)


def taken_ports(node, pod):
    """Of runtimes that are not Kubernetes': nobody else has placed the pods by their ports."""
    def asking(**port):
        return node.config(runtimeConfig={"portMappings": [dict(port, containerPort=80)]})
    node.add("c1", pod, config=asking(hostPort=8080, protocol="tcp"))
    other = bed.Netns()
    for port in ({"hostPort": 8080}, {"hostPort": 8080, "hostIP": "172.30.7.10"}):
        with bed.claim(f"a port that another pod has is an error: {port}"):
            reply = node.call("ADD", "c2", other, config=asking(**port))
            bed.equal(reply.code(), ENVIRONMENT)
            assert "host port 8080/TCP belongs to c1/eth0" in reply.document["msg"], reply.text
            bed.equal(sorted(other.links()), ["lo"])
    with bed.claim("of another protocol or number it is none; and DEL frees a port"):
        for port in ({"hostPort": 8080, "protocol": "udp"}, {"hostPort": 8081}):
            node.add("c2", other, config=asking(**port))
            node.delete("c2", other)
        node.delete("c1", pod)
        node.add("c2", other, config=asking(hostPort=8080))
        node.delete("c2", other)
    with bed.claim("after all that nothing is left"):
        node.expect_clean(pod)


def unknown(node, pod):
    with bed.claim("DEL before ADD is success"):
        node.delete("never", pod)
        node.delete("never")
    with bed.claim(f"CHECK before ADD is error {CONTAINER}"):
        bed.equal(node.call("CHECK", "never", pod).code(), CONTAINER)
    with bed.claim(f"CHECK without or with a false prevResult is error {CONFIG}"):
        result = node.add("c1", pod)
        bed.equal(node.call("CHECK", "c1", pod).code(), CONFIG)
        result["ips"][0]["address"] = "10.0.0.1/32"
        bed.equal(node.call("CHECK", "c1", pod, config=node.config(prevResult=result)).code(),
                  CONFIG)
        node.delete("c1", pod)
        node.expect_clean(pod)
    with bed.claim("VERSION answers whatever stdin holds"):
        for text in ("", "{}", "garbage"):
            reply = node.call("VERSION", stdin=text)
            bed.equal(reply.document["supportedVersions"], ["0.4.0", "1.0.0", "1.1.0"])


def ask(node, request, end=True):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(bed.PATIENCE)
        client.connect(str(node.run_dir / "cni.sock"))
        try:
            client.sendall(request)
            if end:
                client.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        answer = b""
        try:
            while part := client.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def raw_socket(node, pod):
    good = {"command": "ADD", "containerID": "../../x", "netns": pod.path, "ifname": "eth0",
            "args": "", "path": "", "config": node.config()}
    deep = b'{"config":' + b"[" * 400000
    for what, request, code in (
            ("nothing", b"", DECODING), ("garbage", b"\xff\xfe\x00", DECODING),
            ("deep nesting", deep, DECODING),
            ("a path as container ID", json.dumps(good).encode(), ENVIRONMENT),
            ("a zero byte", json.dumps(dict(good, containerID="a\0b")).encode(), ENVIRONMENT),
            ("a number for a text", json.dumps(dict(good, netns=7)).encode(), ENVIRONMENT)):
        with bed.claim(f"socket: {what} is error {code}"):
            bed.equal(json.loads(ask(node, request))["error"]["code"], code)
    with bed.claim("socket: over 1 MiB is refused, and the node serves on"):
        ask(node, b" " * (3 << 20))
        bed.equal(node.call("STATUS").status, 0)
    with bed.claim("socket: only root may use it"):
        bed.equal((node.run_dir / "cni.sock").stat().st_mode & 0o777, 0o600)
    with bed.claim("after all that nothing is left"):
        node.expect_clean(pod)


def main():
    bed.need(os.geteuid() == 0, "needs root")
    node = bed.Node().start()
    pod = bed.Netns()
    for part in (stdin, environment, namespaces, clashes, taken_ports, unknown, raw_socket):
        part(node, pod)
    bed.finish()


main()
