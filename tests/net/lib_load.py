"""Traffic as a busy node has it, by tests/load: datagrams, connections that stay, and new ones, all the
time, in processes of their own; on a node, across nodes, through a Service, to and from the world."""

import atexit
import contextlib
import json
import os
import subprocess
from pathlib import Path

import lib_net
import lib_services
from lib_lab import ROOT, WORLD, equal
from lib_net import FAMILY
from lib_services import service, vip

TESTS = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release"), "tests")
DATAGRAMS, LIVE, NEW = 20_000, 1_000, 500  # a second; at any time; a second
PATIENCE = 30
# A connection through a Service and one to its backend may not have one port of a client's both
# (docs/faults.md), so they go to two ports of the backend.
PORT, TARGET_PORT, NODE_PORT = 8080, 8081, 30080


class Process:
    def __init__(self, *words):
        self.process = subprocess.Popen([str(word) for word in (TESTS / "net_load", *words)],
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=lib_net.die_with_parent)
        atexit.register(self.end)

    def line(self):
        line = self.process.stdout.readline()
        assert line, f"the load has ended: {self.process.wait(PATIENCE)}"
        return line

    def ask(self, word="now"):
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return json.loads(self.line())

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def echoes(place, address, port):
    with contextlib.suppress(OSError), lib_services.tcp(
            place, 6 if ":" in address else 4, address, port, timeout=0.3) as sock:
        sock.sendall(b"there?")
        return sock.recv(100) == b"there?"
    return False


class Load:
    """server: the process that echoes; ways: (name, place, address, port)."""

    def __init__(self, server, ways):
        self.server = server
        self.driver = Process("drive", DATAGRAMS, LIVE, NEW, *(
            word for name, place, *where in ways for word in (name, place.path, *where)))

    def now(self):
        return self.driver.ask()

    def flows_on(self, what):
        """All kinds of it, for half a second at least, and no connection has failed so far."""
        before = self.now()

        def has():
            now = self.now()
            return (now["sent"] > before["sent"] + DATAGRAMS // 2 and now["echoed"] > before["sent"] and
                    now["answers"] > before["answers"] + LIVE // 2 and
                    now["ended"] > before["ended"] + NEW // 2)

        lib_net.wait_for(has, f"the load to go on {what}")
        self.check(self.now(), what)

    @staticmethod
    def check(result, what):
        equal((result["failed"], result["live"]), (0, LIVE), f"{what}: {result}")

    def end(self, what):
        """What has become of all of it: nothing is lost or reset."""
        result = self.driver.ask("end")
        overflowed = result["overflowed"] + self.server.ask()["overflowed"]
        for process in (self.driver, self.server):
            process.end()
        rate = result["sent"] / result["seconds"]
        print(f"      {result['sent']} datagrams in {result['seconds']:.0f} s are {rate:.0f} a second "
              f"of {DATAGRAMS} wanted, {result['lost']} lost ({overflowed} by full sockets), the "
              f"slowest took {result['longest_ms']:.0f} ms; {result['live']} connections stayed, "
              f"{result['opened']} came and went, {result['answers']} exchanges, {result['failed']} "
              f"failed, {result['sent_again']} segments sent again", flush=True)
        self.check(result, what)
        equal((result["lost"], result["waiting"]), (0, 0), f"{what}: {result}")
        equal(result["datagram_errors"] + result["connection_errors"], [], what)
        # A machine that is busy with other things carries less; it is told above.
        assert rate > DATAGRAMS / 4 and result["ended"] > NEW, f"{what}: {result}"


class Scene:
    """A client, a server beside it and one on the other node, a Service of both, the world outside."""

    ARGUMENTS = ("--ct-max", "131072")

    def __init__(self):
        self.lab = lab = lib_services.lab(hooks=False, arguments=self.ARGUMENTS)
        self.client = lab.pod(lab.a, "client")
        self.backends = [lab.pod(lab.a, "near"), lab.pod(lab.b, "far")]
        ports = [{"name": kind.lower(), "protocol": kind, "port": PORT, "targetPort": TARGET_PORT,
                  "nodePort": NODE_PORT} for kind in lib_services.KINDS]
        service(lab, "web", 1, self.backends, ports, type="NodePort")

    def servers(self):
        for family in FAMILY:
            yield self.lab.net, WORLD[family], PORT
            for pod in self.backends:
                yield pod, pod.address[family], PORT
                yield pod, pod.address[family], TARGET_PORT

    def ways(self):
        near, far = self.backends
        for family in FAMILY:
            yield f"IPv{family} on the node", self.client, near.address[family], PORT
            yield f"IPv{family} across", self.client, far.address[family], PORT
            yield f"IPv{family} Service", self.client, vip(family, 1), PORT
            yield f"IPv{family} masqueraded", self.client, WORLD[family], PORT
            yield (f"IPv{family} from outside", self.lab.net, self.lab.a.address[family], NODE_PORT)

    def serve(self):
        """Until the process is ended."""
        server = Process("serve", *(word for place, *where in self.servers()
                                    for word in (place.path, *where)))
        equal(server.line(), "ready\n")
        for name, *way in self.ways():
            lib_net.wait_for(lambda way=way: echoes(*way), f"{name} to be served")
        return server

    def load(self):
        return Load(self.serve(), self.ways())
