#!/usr/bin/env -S python3 -B
"""Somebody sets the clock of a node: a day on, two days back. The agent alone sees it
(tests/clock): the machine's clock is everybody's. Flows are told by the new time, and nothing else
follows it."""

import os
import struct
import time
from datetime import datetime, timedelta, timezone

import lib_lab
import lib_net
from lib_lab import Lab, claim, equal
from lib_net import wait_for
from lib_traffic import Traffic, flows_on, no_loss

CLAIMS = 10
LIBRARY = lib_lab.BIN.parent / "tests" / "libother_clock.so"
DAY = 86400


class Clock:
    """Of one node's agent: so many seconds from the machine's."""

    def __init__(self, node):
        self.file = node.folder / "clock"
        self.file.write_bytes(bytes(8))
        self.set(0)
        self.environment = os.environ | {"LD_PRELOAD": str(LIBRARY),
                                         "WEIR_OTHER_CLOCK": str(self.file)}

    def set(self, seconds):
        self.seconds = seconds
        with open(self.file, "r+b", buffering=0) as file:
            file.write(struct.pack("=q", seconds))

    def now(self):
        return datetime.now(timezone.utc) + timedelta(seconds=self.seconds)


def begun(node, clock):
    """Its agent sees that clock; another has run."""
    node.stop()
    node.launch(*node.lab.arguments, env=clock.environment)
    node.await_serving()


def told_now(node, clock, pods):
    """Flows that begin now are soon told by this clock."""
    def right():
        since = clock.now()
        told = datetime.fromisoformat(new_flow(node, pods)["time"][:26])
        return abs(told.replace(tzinfo=timezone.utc) - since) < timedelta(minutes=1)
    wait_for(right, f"a flow that is told by {clock.now()}")


def new_flow(node, pods):
    with lib_net.datagrams(pods[1], 4, pods[1].address[4]) as listener, \
            lib_net.make(pods[0], 4, 2) as sock:
        sock.sendto(b"now", listener.getsockname()[:2])
        port = sock.getsockname()[1]

        def found():
            return [one for one in node.flows() if one["source"].get("port") == port and
                    one["protocol"] == "UDP" and one["type"] == "new"]
        wait_for(found, "the flow")
        return found()[-1]


def goes_on(lab, pods, traffic):
    node = lab.a
    flows_on(traffic, "by the new clock")
    warnings = node.status()["warnings"]
    equal(warnings, [], "warnings")
    late = lab.pod(node, "late")
    with lib_net.datagrams(late, 6, late.address[6]) as listener, \
            lib_net.make(pods[0], 6, 2) as sock:
        sock.sendto(b"here", listener.getsockname()[:2])
        listener.settimeout(lib_net.PATIENCE)
        equal(listener.recv(10), b"here")
    late.delete()
    equal(len(node.get("/v1/endpoints")), 2, "pods")


def main():
    lib_lab.begin()
    lab = Lab()
    pods = [lab.pod(node, name)
            for node, name in ((lab.a, "a1"), (lab.a, "a2"), (lab.b, "b1"))]
    clock = Clock(lab.a)
    begun(lab.a, clock)
    traffic = Traffic([(f"IPv{family} {name}", pods[0], server, family, server.address[family])
                       for family in (4, 6)
                       for name, server in (("on the node", pods[1]), ("across", pods[2]))])
    with claim("a flow is told by the node's clock"):
        told_now(lab.a, clock, pods)
        flows_on(traffic, "at first")
    for what, seconds in (("a day on", DAY), ("two days back", -DAY)):
        clock.set(seconds)
        with claim(f"{what}: flows are told by the new clock"):
            told_now(lab.a, clock, pods)
        with claim(f"{what}: traffic goes on, pods come and go, nothing warns"):
            goes_on(lab, pods, traffic)
        with claim(f"{what}: the agent has nothing to do by it"):
            used = lab.a.cpu_ms()
            time.sleep(1)  # what it does in a second is the question
            assert lab.a.cpu_ms() - used < 200, f"{lab.a.cpu_ms() - used} ms of CPU time in a second"
    with claim("an agent that begins by such a clock takes all over"):
        clock.set(20 * DAY)
        begun(lab.a, clock)
        told_now(lab.a, clock, pods)
        goes_on(lab, pods, traffic)
    with claim("and one that begins years back"):
        clock.set(-3000 * DAY)
        begun(lab.a, clock)
        told_now(lab.a, clock, pods)
        goes_on(lab, pods, traffic)
    with claim("nothing was lost meanwhile"):
        no_loss(traffic.end())
    lib_lab.finish(CLAIMS)


main()
