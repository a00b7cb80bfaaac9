#!/usr/bin/env -S python3 -B
"""Agents are killed, stopped for a minute and restarted a hundred times under the load of a busy node
(lib_load.py): no datagram is lost, no connection is reset or refused. Other builds: upgrade_test.py."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import lib_lab
from lib_lab import Pod, claim, equal
from lib_load import Scene
from lib_net import wait_for
from lib_remains import answers

CLAIMS = 8
RESTARTS = 100
STOPPED_SECONDS, ADD_WAITS_SECONDS = 60, 10


def killed(scene, load):
    ids = [node.attached() for node in scene.lab.nodes]
    with claim("both agents are killed: the load goes on while they are away"):
        for node in scene.lab.nodes:
            node.stop(signal.SIGKILL)
        load.flows_on("without agents")
        load.flows_on("still without agents")
    with claim("they come back and adopt what is there"):
        for node in scene.lab.nodes:
            node.start()
            assert node.status()["adopted"], "loaded anew"
        load.flows_on("with agents again")
        equal([node.attached() for node in scene.lab.nodes], ids)


def stopped(scene, load):
    node = scene.lab.a
    late = Pod(scene.lab, node, "patient")
    answer = {}

    def add():
        answer["status"], _ = late.cni("ADD", None)

    with claim(f"an agent is stopped (SIGSTOP) for {STOPPED_SECONDS} s: the load goes on"):
        begun = time.monotonic()
        os.kill(node.process.pid, signal.SIGSTOP)
        while time.monotonic() < begun + STOPPED_SECONDS - ADD_WAITS_SECONDS:
            load.flows_on("without the agent")
        caller = threading.Thread(target=add)
        caller.start()
        while time.monotonic() < begun + STOPPED_SECONDS:
            load.flows_on("without the agent")
        os.kill(node.process.pid, signal.SIGCONT)
        caller.join()
        load.flows_on("with the agent")
    with claim("an ADD meanwhile has waited for it"):
        equal(answer["status"], 0)
        late.add()
        answers(late, scene.backends[1])
        late.delete()


def restarted(scene, load):
    node = scene.lab.a
    before, used = left_by(node), memory(node)
    with claim(f"{RESTARTS} agents are killed and started: each adopts, the load goes on"):
        for _ in range(RESTARTS):
            node.stop(signal.SIGKILL)
            node.start()
            assert node.status()["adopted"], "loaded anew"
        load.flows_on("after them")
    with claim("the last one has what the first had: descriptors, pins, memory"):
        grown = memory(node) - used
        assert grown < 16 << 20, f"{grown} bytes more"  # the load's flows are in it
        wait_for(lambda: left_by(node) == before, f"{left_by(node)} to be {before}")


def memory(node):
    pages = Path(f"/proc/{node.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def left_by(node):
    return {"descriptors": len(os.listdir(f"/proc/{node.process.pid}/fd")), "pins": node.pins(),
            "attached": node.attached(),
            "links": sorted(node.links()), "state": sorted(os.listdir(node.state))}


def main():
    lib_lab.begin()
    scene = Scene()
    load = scene.load()
    with claim("the load flows: datagrams, connections that stay, new ones"):
        load.flows_on("at first")
    for play in (killed, stopped, restarted):
        begun = time.monotonic()
        play(scene, load)
        print(f"      {play.__name__}: {time.monotonic() - begun:.0f} s", flush=True)
    with claim("nothing was lost, reset or refused by any of that"):
        load.end("in the end")
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
