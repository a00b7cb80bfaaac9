#!/usr/bin/env -S python3 -B
"""kill -9 of the plugin and of the agent at every point inside ADD and DEL: between any two of their
system calls (tests/cni/kill_at.cc), and of an agent that starts after such an end. Then the runtime
does what runtimes do: it calls DEL until that succeeds, and ADD for a new sandbox. Afterwards the node
has what it should have, and nothing else."""

import collections
import itertools
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass

import lib_lab
import lib_net
from lib_kill import Killer
from lib_lab import claim, equal
from lib_net import PATIENCE, RCU_MARK, wait_for
from lib_remains import answers, remains

CLAIMS = 5
LEAST = 300
MOST_FAULTS = 5  # of one claim
STRIDE = 12  # the start has many
SOON = 5
REST = 29  # a freed address rests a second longer
TRIES = 5


@dataclass
class Call:
    status: int
    killed: bool = False
    count: int = 0


def differences(found, wanted):
    """{kind: (too many, too few)}"""
    def beyond(some, others):
        return [one for one in some if one not in others] if isinstance(some, list) else some
    return {kind: (beyond(value, wanted[kind]), beyond(wanted[kind], value))
            for kind, value in found.items() if value != wanted[kind]}


def sizes(picture):
    return {kind: len(value) if isinstance(value, list) and kind != "used" else value
            for kind, value in picture.items()}


class Runtime:
    """Makes and removes one pod after the other on a node, beside one that stays."""

    def __init__(self, lab):
        self.lab, self.node = lab, lab.a
        self.stays = lab.pod(lab.a, "stays")
        self.places = collections.deque(lib_lab.Pod(lab, lab.a, "comes") for _ in range(3))
        self.sandboxes = 0
        self.freed = {}
        self.take_pictures()

    def take_pictures(self):
        """Of the node with and without a pod that comes and goes."""
        pod = self.sandbox().attach()
        self.full = sizes(remains(self.node))
        pod.cni("DEL")
        wait_for(lambda: not RCU_MARK.exists(), "the link's remover")  # DEL does not wait for it
        self.empty = remains(self.node)

    def sandbox(self):
        """A new one, with a namespace of its own."""
        self.sandboxes += 1
        self.places.rotate()
        pod = self.places[0]
        pod.address = {}
        pod.container = f"sandbox{self.sandboxes}"
        return pod

    def killed_in(self, command, pod, victim, point):
        """victim: plugin, agent, or None."""
        if victim is None:
            return Call(pod.call(command).returncode)
        if victim == "plugin":
            killer = Killer(point, "input")
            done = pod.call(command, killer.words, **killer.options)
            killer.given()
            return Call(done.returncode, *killer.result())
        killer = Killer(point, "connection", self.node.process.pid)
        with subprocess.Popen(killer.words, preexec_fn=lib_net.die_with_parent, **killer.options):
            killer.given()
            done = pod.call(command)
            call = Call(done.returncode, *killer.result())
        if call.killed:
            self.node.process.wait(PATIENCE)
        return call

    def revive(self):
        if self.node.process.poll() is not None:
            self.node.start()

    def start(self, half, point):
        """An agent that starts is killed, after one that was killed inside an ADD, at `half`. A DEL
        waits for it, too."""
        going, coming = self.sandbox().attach(), self.sandbox()
        if not self.killed_in("ADD", coming, "agent", half).killed:
            self.node.stop(signal.SIGKILL)  # this one took fewer calls
        equal(going.call("DEL").returncode, 0)
        killer = Killer(point, self.node.state)
        self.node.launch(*self.lab.arguments, under=killer.words, **killer.options)
        killer.given()
        call = Call(0, *killer.result())
        if call.killed:
            self.node.process.wait(PATIENCE)
            self.node.start()
        self.node.await_serving()
        self.delete(coming)
        for pod in (going, coming):
            self.expect_gone(pod)
        answers(self.lab.b, self.stays)
        return call

    def delete(self, pod):
        """Until it succeeds."""
        for _ in range(TRIES):
            if (done := pod.call("DEL")).returncode == 0:
                return
        raise AssertionError(f"DEL fails {TRIES} times: {done.stdout}")

    def add(self, victim, point):
        pod = self.sandbox()
        call = self.killed_in("ADD", pod, victim, point)
        if call.status != 0:
            if point % 2:  # else DEL comes before there is an agent again
                self.revive()
            self.delete(pod)
            self.revive()
            self.expect_gone(pod)
            pod = self.sandbox()
        self.revive()
        pod.attach()  # once more, when it is there: the answer is the same
        self.expect_there(pod)
        return pod, call

    def remove(self, pod, victim, point):
        self.freed |= dict.fromkeys(pod.address.values(), time.monotonic())
        call = self.killed_in("DEL", pod, victim, point)
        self.revive()
        if call.status != 0:
            self.delete(pod)
        self.expect_gone(pod)
        return call

    def remove_without_agent(self, point):
        """DEL is kept for the next agent; what was being written when the plugin was killed is old by
        then."""
        pod = self.sandbox().attach()
        self.freed |= dict.fromkeys(pod.address.values(), time.monotonic())
        self.node.stop(signal.SIGKILL)
        call = self.killed_in("DEL", pod, "plugin", point)
        if call.status != 0:
            self.delete(pod)
        for path in (self.node.state / "cni-spool").glob(".*"):
            os.utime(path, times=(time.time() - 3600,) * 2)
        self.node.start()
        self.expect_gone(pod)
        return call

    def expect_gone(self, pod):
        deadline = time.monotonic() + SOON
        while (wrong := differences(remains(self.node), self.empty)) and time.monotonic() < deadline:
            pass
        equal(wrong, {}, "after DEL")
        equal(sorted(pod.links()), ["lo"])

    def expect_there(self, pod):
        found = remains(self.node)
        equal(sizes(found), self.full, f"after ADD: {differences(found, self.empty)}")
        early = [one for one in pod.address.values()
                 if time.monotonic() - self.freed.get(one, -REST) < REST]
        equal(early, [], "addresses that should rest")
        for client in (self.stays, self.node, self.lab.b):
            answers(client, pod)
            answers(client, self.stays)

    def begin_anew(self):
        """After a fault, so that it is told once."""
        self.revive()
        for pod in self.places:
            pod.cni("DEL", None)
        self.node.stop()
        self.node.start()
        self.take_pictures()


class Tally:
    """What was hit, of how many system calls; and what was wrong then."""

    def __init__(self):
        self.points = self.calls = 0
        self.faults = []

    def fault(self, runtime, text):
        print("     ", text, flush=True)
        self.faults.append(text)
        equal(len(self.faults) < MOST_FAULTS, True, "too many")
        runtime.begin_anew()

    def came_through(self, what, count):
        print(f"      {what}: {count} system calls", flush=True)
        self.calls += count

    def judge(self):
        found, self.faults = self.faults, []
        equal(found, [])


def kill_in_both(runtime, victim, tally):
    """At the next point of both commands in turn, until each comes through unharmed. Gives how many
    system calls they took."""
    total, point = {}, 0
    while len(total) < 2:
        point += 1
        pod = None
        for command in ("ADD", "DEL"):
            who = None if command in total else victim
            try:
                if command == "ADD":
                    pod, call = runtime.add(who, point)
                else:
                    call = runtime.remove(pod, who, point)
            except AssertionError as fault:
                tally.fault(runtime, f"{command}, {victim} killed after {point} calls: {fault}")
                break
            tally.points += call.killed
            if who is not None and not call.killed:
                total[command] = call.count
                tally.came_through(f"{victim}, {command}", call.count)
    tally.judge()
    return total


def kill_on_the_way(way, what, runtime, tally, first=1, stride=1):
    """way(point) -> Call"""
    for point in itertools.count(first, stride):
        try:
            call = way(point)
        except AssertionError as fault:
            tally.fault(runtime, f"killed after {point} calls: {fault}")
            continue
        tally.points += call.killed
        if not call.killed:
            break
    tally.came_through(what, call.count)
    tally.judge()


def main():
    lib_lab.begin()
    runtime, tally, began = Runtime(lib_lab.Lab("vxlan")), Tally(), time.monotonic()
    of_add = 1
    with claim("the plugin is killed between any two system calls of ADD and DEL"):
        kill_in_both(runtime, "plugin", tally)
    with claim("... and of a DEL that is kept for the next agent"):
        kill_on_the_way(runtime.remove_without_agent, "plugin, DEL without an agent", runtime, tally)
    with claim("the agent is killed between any two system calls of ADD and DEL"):
        of_add = kill_in_both(runtime, "agent", tally)["ADD"]
    first = random.randrange(STRIDE) + 1
    with claim(f"... and at every {STRIDE}th of its start after that, from the {first}. on"):
        kill_on_the_way(lambda point: runtime.start(1 + point % of_add, point), "agent, start",
                        runtime, tally, first, STRIDE)
    with claim(f"that was at {LEAST} points or more"):
        print(f"      {tally.points} points of {tally.calls} system calls in "
              f"{time.monotonic() - began:.0f} s", flush=True)
        assert tally.points >= LEAST, tally.points
    lib_lab.finish(CLAIMS)


main()
