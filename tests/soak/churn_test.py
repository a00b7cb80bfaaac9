#!/usr/bin/env -S python3 -B
"""A day of a busy node in ten minutes (WEIR_SOAK_SECONDS): pods come and go without a pause,
connections are opened and left, steady traffic runs meanwhile. Memory, descriptors and tables stay
flat, nothing is lost."""

import os
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "net"))
import lib_lab
import lib_net
from lib_lab import Lab, Pod, claim, equal
from lib_traffic import Traffic, spawn

CLAIMS = 5
SECONDS = float(os.environ.get("WEIR_SOAK_SECONDS", "600"))
SAMPLE_SECONDS = min(10.0, SECONDS / 30)
LEFT_PER_SECOND = 100  # connections that are opened and never closed
GROWN_KIB = 1024       # RSS may differ by so much between two quarters
GROWN_ENTRIES = 1.2


def leaver(client, server, families):
    """A process that opens connections and leaves them; it ends with the socket that is returned."""
    listeners = {family: lib_net.datagrams(server, family, server.address[family])
                 for family in families}
    streams = {family: lib_net.listener(server, family, server.address[family])
               for family in families}

    def work(control):
        control.setblocking(False)
        kept, number = [], 0
        while True:
            for family in families:
                with lib_net.datagrams(client, family) as sock:
                    sock.sendto(b"and gone", listeners[family].getsockname()[:2])
                made = lib_net.make(client, family, socket.SOCK_STREAM)
                made.connect(streams[family].getsockname()[:2])
                kept.append((made, streams[family].accept()[0]))
            number += 1
            while len(kept) > 200:  # as a process that dies: by a reset
                for one in kept.pop(0):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    one.close()
            try:
                if not control.recv(1):
                    return
            except BlockingIOError:
                time.sleep(2 * len(families) / LEFT_PER_SECOND)  # the rate is the test's input
    return spawn(work)


class Churn(threading.Thread):
    def __init__(self, lab, node):
        super().__init__(daemon=True)
        self.lab, self.node, self.turns, self.fault = lab, node, 0, None
        self.ending = threading.Event()

    def run(self):
        pods = [Pod(self.lab, self.node, f"guest{number}") for number in range(4)]
        try:
            while not self.ending.is_set():
                pod = pods[self.turns % len(pods)]
                pod.add()
                pod.delete()
                self.turns += 1
        except Exception as fault:  # told by the test
            self.fault = fault


def sample(node):
    pid = node.process.pid
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        kib = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    tables = {one["name"]: one["entries"] for one in node.status()["maps"]}
    return {"rss_kib": kib, "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "connections": tables["weir_ct"], "entries": sum(tables.values())}


def quarters(samples, name):
    """The medians of the second and of the last quarter: the first one fills tables and caches."""
    count = len(samples)
    return [statistics.median(one[name] for one in part)
            for part in (samples[count // 4:count // 2], samples[-(count // 4):])]


def main():
    lib_lab.begin()
    lab = Lab("vxlan")
    a1, a2, b1 = lab.pod(lab.a, "a1"), lab.pod(lab.a, "a2"), lab.pod(lab.b, "b1")
    traffic = Traffic([(f"IPv{family} {name}", a1, server, family, server.address[family])
                       for family in (4, 6) for name, server in (("on the node", a2), ("across", b1))])
    _, control = leaver(a1, b1, (4, 6))
    churn = Churn(lab, lab.a)
    churn.start()
    taken = {node.node: [] for node in lab.nodes}
    began = time.monotonic()
    while time.monotonic() < began + SECONDS and churn.fault is None:
        time.sleep(SAMPLE_SECONDS)  # between samples
        for node in lab.nodes:
            taken[node.node].append(sample(node))
    churn.ending.set()
    churn.join()
    control.close()
    with claim(f"{churn.turns} pods came and went in {SECONDS:.0f} s"):
        assert churn.fault is None, churn.fault
        assert churn.turns > SECONDS, f"only {churn.turns}"
    result = traffic.end()
    for name, most in (("rss_kib", lambda before: before + GROWN_KIB),
                       ("descriptors", lambda before: before),
                       ("entries", lambda before: before * GROWN_ENTRIES)):
        with claim(f"flat: {name}"):
            for node, samples in taken.items():
                before, after = quarters(samples, name)
                print(f"      {node}: {before:.0f}, then {after:.0f}")
                assert after <= most(before), f"{node}: {before:.0f}, then {after:.0f}"
    with claim("nothing was lost, reset or refused"):
        for name, one in result.items():
            equal((one["udp_lost"], one["errors"], one["unanswered"]), (0, [], False), f"{name}: {one}")
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
