"""Steady traffic in processes of its own, so that what the test does meanwhile does not disturb it:
a TCP connection that echoes, a stream of datagrams that are echoed, new connections all the time.
What is lost, late or reset is told at the end."""

import atexit
import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback

import lib_net
from lib_lab import equal

UDP_INTERVAL, TCP_INTERVAL, OPEN_INTERVAL = 0.001, 0.01, 0.02
GRACE = 3.0


def spawn(work):
    """Runs work(control socket) in a child; the parent's (pid, control socket)."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            lib_net.die_with_parent()
            ours.close()
            if os.getppid() == parent:
                work(theirs)
                status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    theirs.close()
    ours.settimeout(lib_net.PATIENCE)
    return pid, ours


class Server:
    """Echoes on one TCP and one UDP socket until its parent closes the control socket."""

    def __init__(self, listener, datagrams):
        self.listener, self.datagrams = listener, datagrams
        self.selector = selectors.DefaultSelector()

    def __call__(self, control):
        for one in (self.listener, self.datagrams):
            one.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(self.datagrams, selectors.EVENT_READ, self.datagram)
        self.selector.register(control, selectors.EVENT_READ, None)
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def accept(self, listener):
        with contextlib.suppress(BlockingIOError):
            made, _ = listener.accept()
            self.selector.register(made, selectors.EVENT_READ, self.stream)

    def datagram(self, sock):
        with contextlib.suppress(OSError):
            while True:
                data, peer = sock.recvfrom(2048)
                sock.sendto(data, peer)

    def stream(self, sock):
        data = b""
        with contextlib.suppress(OSError):
            data = sock.recv(65536)
            if data:
                sock.sendall(data)
        if not data:
            self.selector.unregister(sock)
            sock.close()


class Client:
    """All three kinds towards one server, in one loop; answers each word on the control socket with
    what has happened so far, "end" after all answers had their time."""

    def __init__(self, where, family, tcp, udp):
        self.where, self.family, self.tcp, self.udp = where, family, tcp, udp
        self.sent, self.got, self.opened, self.errors = 0, set(), 0, []
        self.rounds, self.longest, self.asked = 0, 0.0, 0.0
        self.waiting, self.opening = False, None
        self.stopping = False

    def __call__(self, control):
        self.stream = lib_net.connected(self.where, self.family, self.tcp)
        self.stream.setblocking(False)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.datagrams = lib_net.datagrams(self.where, self.family)
        self.datagrams.connect(self.udp)
        self.datagrams.setblocking(False)
        namespace = self.where.inside()
        with namespace:
            self.loop(control)

    def loop(self, control):
        due = [(time.monotonic(), step, interval) for step, interval in (
            (self.send_datagram, UDP_INTERVAL), (self.ask, TCP_INTERVAL),
            (self.open, OPEN_INTERVAL))]
        deadline = None
        poller = selectors.DefaultSelector()
        self.poller = poller
        poller.register(self.stream, selectors.EVENT_READ, self.answered)
        poller.register(self.datagrams, selectors.EVENT_READ, self.datagram)
        poller.register(control, selectors.EVENT_READ, None)
        while True:
            now = time.monotonic()
            if deadline and (now > deadline or self.quiet()):
                return control.sendall(self.report())
            for i, (at, step, interval) in enumerate(due):
                if now >= at and not deadline:
                    step(now)
                    due[i] = (max(at + interval, now - 0.05), step, interval)
            wake = min(at for at, _, _ in due) if not deadline else now + 0.05
            for key, events in poller.select(max(0, wake - time.monotonic())):
                if key.data is not None:
                    key.data(key.fileobj)
                    continue
                word = control.recv(16)
                if not word:
                    return None
                if word == b"end":
                    deadline = time.monotonic() + GRACE
                else:
                    control.sendall(self.report())

    def quiet(self):
        return len(self.got) == self.sent and not self.waiting and self.opening is None

    def report(self):
        return json.dumps({
            "udp_sent": self.sent, "udp_lost": self.sent - len(self.got), "opened": self.opened,
            "errors": self.errors[:5], "rounds": self.rounds, "longest": self.longest,
            "stream": self.stream.getsockname()[:2], "unanswered": self.waiting}).encode() + b"\n"

    def send_datagram(self, _):
        try:
            self.datagrams.send(struct.pack("!Q", self.sent))
            self.sent += 1
        except OSError as error:
            self.errors.append(f"UDP: {error}")

    def datagram(self, sock):
        try:
            while True:
                self.got.add(struct.unpack("!Q", sock.recv(100))[0])
        except BlockingIOError:
            pass
        except OSError as error:
            self.errors.append(f"UDP: {error}")

    def ask(self, now):
        if self.waiting:
            return
        try:
            self.stream.send(b"tick")
            self.waiting, self.asked = True, now
        except OSError as error:
            self.errors.append(f"TCP: {error}")

    def answered(self, sock):
        try:
            if not sock.recv(100):
                raise ConnectionResetError("end of stream")
            self.waiting = False
            self.rounds += 1
            self.longest = max(self.longest, time.monotonic() - self.asked)
        except BlockingIOError:
            pass
        except OSError as error:
            self.errors.append(f"TCP: {error}")
            self.poller.unregister(sock)

    def open(self, _):
        if self.opening is not None:
            return
        self.opening = socket.socket(lib_net.FAMILY[self.family], socket.SOCK_STREAM)
        self.opening.setblocking(False)
        self.opening.connect_ex(self.tcp)
        self.poller.register(self.opening, selectors.EVENT_WRITE, self.connected)

    def connected(self, sock):
        self.poller.unregister(sock)
        failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            self.errors.append(f"connect: {os.strerror(failed)}")
            return self.opened_one(sock)
        try:
            sock.send(b"hello")
        except OSError as error:
            self.errors.append(f"new: {error}")
        return self.poller.register(sock, selectors.EVENT_READ, self.greeted)

    def greeted(self, sock):
        self.poller.unregister(sock)
        try:
            if sock.recv(100) != b"hello":
                self.errors.append("new: another answer")
            else:
                self.opened += 1
        except OSError as error:
            self.errors.append(f"new: {error}")
        self.opened_one(sock)

    def opened_one(self, sock):
        sock.close()
        self.opening = None


class Traffic:
    """Between pairs of (name, client, server, family, server's address)."""

    def __init__(self, pairs):
        self.clients, self.children = {}, []
        for name, client, server, family, address in pairs:
            self.meet(name, client, family, *self.serve(server, family, address))

    def serve(self, server, family, address, port=0):
        """Where it listens: for TCP, for UDP."""
        with lib_net.listener(server, family, address, port) as tcp, \
                lib_net.datagrams(server, family, address, port) as udp:
            self.start(Server(tcp, udp))
            return tcp.getsockname()[:2], udp.getsockname()[:2]

    def meet(self, name, client, family, tcp, udp):
        self.clients[name] = self.start(Client(client, family, tcp, udp)), tcp

    def start(self, work):
        pid, control = spawn(work)
        self.children.append((pid, control))
        atexit.register(self.kill, pid)
        return control

    @staticmethod
    def kill(pid):
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def ask(self, name, word=b"now"):
        control, server = self.clients[name]
        control.sendall(word)
        text = b""
        while not text.endswith(b"\n"):
            part = control.recv(65536)
            assert part, f"the traffic of {name} has ended"
            text += part
        return json.loads(text) | {"server": server}

    def now(self):
        return {name: self.ask(name) for name in self.clients}

    def grown(self, before, rounds=10):
        """All kinds of traffic have gone on since."""
        now = self.now()
        return all(now[name]["rounds"] >= before[name]["rounds"] + rounds and
                   now[name]["opened"] >= before[name]["opened"] + rounds // 2 and
                   now[name]["udp_sent"] >= before[name]["udp_sent"] + 10 * rounds
                   for name in now)

    def end(self):
        result = {name: self.ask(name, b"end") for name in self.clients}
        for pid, control in self.children:
            control.close()
            self.kill(pid)
        return result


def no_loss(result):
    """Of Traffic.end()."""
    for name, one in result.items():
        what = f"{name}: {one}"
        equal((one["udp_lost"], one["errors"], one["unanswered"]), (0, [], False), what)
        assert one["rounds"] >= 10 and one["opened"] >= 5 and one["udp_sent"] >= 100, what


def flows_on(traffic, what):
    before = traffic.now()
    lib_net.wait_for(lambda: traffic.grown(before), f"traffic to go on {what}: {before}")
