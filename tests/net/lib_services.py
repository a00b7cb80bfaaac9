"""Services of a lab (lib_lab.Lab): objects as Kubernetes would make them, servers that tell their
name, and callers whose sockets the hooks see."""

import atexit
import contextlib
import errno
import json
import selectors
import socket
import threading
import time

import lib_lab
import lib_net
from lib_net import FAMILY, PATIENCE, wait_for
from lib_traffic import Traffic, spawn

RANGE = {4: "10.96.0.", 6: "fd00:96::"}
ARGUMENTS = ("--service-cidr", "10.96.0.0/24", "--service-cidr", "fd00:96::/112")
KINDS = ("TCP", "UDP")
HOOKS = {True: "by the hooks", False: "by packets"}


def lab(hooks=True, arguments=(), **more):
    return lib_lab.Lab(arguments=(*ARGUMENTS, "--socket-services", str(hooks).lower(), *arguments),
                       **more)


class Caller:
    """Processes of a node's cgroup, in a namespace of that node."""

    def __init__(self, name, place, node):
        self.name, self.place, self.node, self.address = name, place, node, place.address

    @contextlib.contextmanager
    def inside(self):
        with self.node.cgroup.inside(), self.place.inside():
            yield


class Servers(threading.Thread):
    """Tell their name to whoever connects, or sends a short datagram. Long ones, and what comes
    later by a connection, are echoed."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.seen = []  # (name, peer's address) of connections and datagrams

    def add(self, name, place, port, address=None):
        for family in FAMILY:
            at = address or place.address[family]
            tcp = lib_net.listener(place, family, at, port)
            udp = lib_net.datagrams(place, family, at, port)
            for sock, answer in ((tcp, self.accept), (udp, self.datagram)):
                sock.setblocking(False)
                self.selector.register(sock, selectors.EVENT_READ, (name, answer))

    def accept(self, name, sock):
        made, peer = sock.accept()
        self.seen.append((name, peer[0]))
        made.settimeout(PATIENCE)
        made.sendall(name.encode())
        self.selector.register(made, selectors.EVENT_READ, (name, self.echo))

    def echo(self, _, sock):
        data = b""
        with contextlib.suppress(ConnectionError):
            data = sock.recv(65536)
        if data:
            sock.sendall(data)
        else:
            self.selector.unregister(sock)
            sock.close()

    def datagram(self, name, sock):
        data, peer = sock.recvfrom(65536)
        self.seen.append((name, peer[0]))
        sock.sendto(data if len(data) > 100 else name.encode(), peer)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                name, answer = key.data
                with contextlib.suppress(OSError):
                    answer(name, key.fileobj)

    def fork(self):
        """In a process of their own, instead of start(): for many calls at once."""
        pid, self.control = spawn(lambda _: self.run())
        atexit.register(Traffic.kill, pid)


# --- objects -------------------------------------------------------------------------------------

def vip(family, number):
    return f"{RANGE[family]}{number}"


def both(port=80, target=8080, **more):
    """One port for TCP and for UDP."""
    return [{"name": kind.lower(), "protocol": kind, "port": port, "targetPort": target} | more
            for kind in KINDS]


def service(lab, name, number, backends, ports=None, balancer=(), annotations=None, **spec):
    """Dual stack. backends: pods; balancer: addresses of its status."""
    ports = ports or both()
    addresses = [vip(family, number) for family in FAMILY]
    lab.write("Service", "lab", name, {
        "metadata": {"name": name, "namespace": "lab", "annotations": annotations or {}},
        "spec": {"type": "ClusterIP", "clusterIP": addresses[0], "clusterIPs": addresses,
                 "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack",
                 "ports": ports, "selector": {"app": name}} | spec,
        "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in balancer]}}})
    slices(lab, name, backends, ports)


def endpoint(pod, family, **more):
    return {"addresses": [pod.address[family]], "nodeName": pod.node.node,
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "lab", "name": pod.pod}} | more


def slices(lab, name, backends, ports=None, more=lambda pod: {}):
    """more: what a pod's endpoint has besides."""
    ports = [{"name": port["name"], "protocol": port["protocol"], "port": port["targetPort"]}
             for port in ports or both()]
    for family in FAMILY:
        write_slice(lab, f"{name}-{family}", {
            "addressType": f"IPv{family}", "ports": ports,
            "endpoints": [endpoint(pod, family, **more(pod)) for pod in backends]}, name)


def write_slice(lab, slice_name, body, owner):
    lab.write("EndpointSlice", "lab", slice_name, body | {
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": slice_name, "namespace": "lab",
                     "labels": {"kubernetes.io/service-name": owner}}})


def delete(lab, name):
    for path in (lab.objects / "EndpointSlice" / "lab").glob(f"{name}-[46].json"):
        path.unlink()
    (lab.objects / "Service" / "lab" / f"{name}.json").unlink()


def told(node, name):
    """What an agent says of a Service (src/api/services.h)."""
    socket_path = node.run_dir / "agent.sock"
    return json.loads(lib_net.http_get(socket_path, f"/v1/services?service=lab/{name}"))


# --- calls ---------------------------------------------------------------------------------------

def tcp(caller, family, address, port=80, source=None, socket_family=None, timeout=PATIENCE):
    made = lib_net.make(caller, socket_family or family, socket.SOCK_STREAM, timeout=timeout)
    if source:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(source)
    made.connect((address, port))
    return made


def name_of(sock):
    return sock.recv(100).decode()


def who(caller, family, address, port=80, timeout=PATIENCE):
    """The name of who answers by TCP."""
    with tcp(caller, family, address, port, timeout=timeout) as sock:
        return name_of(sock)


def met(caller, family, address, port=80, times=24):
    """Of two backends both answer, but once in eight million times."""
    return {who(caller, family, address, port) for _ in range(times)}


def error_of(call):
    """The call's errno, 0 when it succeeds; a call that gets no answer has ETIMEDOUT."""
    try:
        call()
    except TimeoutError:
        return errno.ETIMEDOUT
    except OSError as error:
        return error.errno
    return 0


def answers(caller, family, address, port=80, names=None, timeout=0.3):
    with contextlib.suppress(OSError):
        return (who(caller, family, address, port, timeout) in names if names else
                bool(who(caller, family, address, port, timeout)))
    return False


def wait_to_serve(callers, numbers, names=None):
    for caller in callers:
        for family in FAMILY:
            for number in numbers:
                wait_for(lambda c=caller, f=family, n=number: answers(c, f, vip(f, n), names=names),
                         f"Service {number} to serve {caller.name} by IPv{family}")


def wait_to_echo(caller, number, port):
    """By TCP, whichever backend."""
    for family in FAMILY:
        def echoes(family=family):
            with contextlib.suppress(OSError), tcp(caller, family, vip(family, number), port,
                                                   timeout=0.3) as sock:
                sock.sendall(b"there?")
                return sock.recv(100) == b"there?"
            return False

        wait_for(echoes, f"Service {number} to serve {caller.name} by IPv{family}")


def ask(sock, target=None, patience=PATIENCE):
    """The name of who answers a datagram, and from where; asked again, since datagrams get lost."""
    deadline = time.monotonic() + patience
    sock.settimeout(0.2)
    while True:
        try:
            if target:
                sock.sendto(b"who?", target)
            else:
                sock.send(b"who?")
            data, peer = sock.recvfrom(100)
            return data.decode(), peer[:2]
        except (TimeoutError, ConnectionRefusedError):
            assert time.monotonic() < deadline, f"{target} does not answer"
