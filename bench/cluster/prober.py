"""A process in a pod's place that tries to connect once a millisecond, each time by a new socket, so
that no timer of TCP's hides when an address begins to answer; and one that accepts."""

import contextlib
import json
import select
import signal
import socket
import time

from lib_cluster import lib_net

INTERVAL = 0.001
KEPT = 20  # connection attempts that may still succeed; far fewer milliseconds than a retransmission


def first_success(family, target, begin, deadline):
    """When a connection stood first, by time.monotonic(), and how many were tried."""
    attempts, tries, due = [], 0, begin
    time.sleep(max(0, begin - time.monotonic()))
    try:
        while (now := time.monotonic()) < deadline:
            if now >= due:
                tries, due = tries + 1, max(due + INTERVAL, now)
                if attempt := attempted(family, target):
                    attempts.append(attempt)
                while len(attempts) > KEPT:
                    attempts.pop(0).close()
            _, writable, _ = select.select([], attempts, [], max(0, due - time.monotonic()))
            when = time.monotonic()
            for one in writable:
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    return when, tries
                attempts.remove(one)
                one.close()
    finally:
        for one in attempts:
            one.close()
    return None, tries


def attempted(family, target):
    made = socket.socket(lib_net.FAMILY[family], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.connect(tuple(target))
    except BlockingIOError:
        return made
    except OSError:  # refused at once
        made.close()
        return None
    return made


class Prober:
    """REQUIRES: run by lib_traffic.spawn. Requests and answers are lines of JSON."""

    def __init__(self, place):
        self.place = place

    def __call__(self, control):
        with self.place.inside(), control.makefile("rw", encoding="utf-8") as lines:
            for line in lines:
                lines.write(json.dumps(first_success(**json.loads(line))) + "\n")
                lines.flush()


class Acceptor:
    """REQUIRES: run by lib_traffic.spawn. Accepts and closes until the control socket ends."""

    def __init__(self, listeners):
        self.listeners = listeners

    def __call__(self, control):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            for one in select.select([control, *self.listeners], [], [])[0]:
                if one is control:
                    return
                with contextlib.suppress(OSError):
                    one.accept()[0].close()
