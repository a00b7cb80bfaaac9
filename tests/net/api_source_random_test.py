#!/usr/bin/python3 -B
"""Random changes, seen through random faults of two servers of a cluster: once the faults end, a
follower has what the servers have. Seeds are printed; give some as arguments to have them again (the
faults' order is the same, the time between them is not). The interpreter is Debian's, for python3-h2
is."""

import random
import sys
import time

import lib_fake_http
import lib_follow_scene
import lib_lab
from lib_api_store import KINDS
from lib_fake_api import changed, cut, doubled, hang, instead, refuse, replaced, say, split, swapped
from lib_follow_scene import Pki, Scene
from lib_lab import claim

SEEDS = 20
STEPS = 150
CHURN_SECONDS = 10
# Each tells that something is wrong: an event that is lost without a trace is lost.
GARBAGE = (b"not json\n", b"{}\n", b"null\n", b'{"type":"ADDED","object":null}\n', b"\0\xff\n",
           b'{"type":"DELETED","object":{"metadata":{"name":"n0"}}}\n',
           b'{"type":"ERROR","object":{"code":410}}\n', b'{"type":"ERROR","object":{"code":500}}\n',
           b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"99999999"}}}\n')


class Chaos:
    def __init__(self, scene, seed):
        self.scene, self.random = scene, random.Random(seed)
        self.http2 = self.random.random() < 0.5
        self.servers = []
        for number in range(2):
            self.servers.append(scene.serve(http2=self.http2))
            self.settle(number)
        self.count = 0
        self.requests = 0  # of servers that were stopped

    def settle(self, number):
        """The server's habits."""
        server = self.servers[number]
        server.streams_lists = self.random.choice((True, True, True, 400, "ignored"))
        server.page = self.random.choice((1, 2, 5, 500))
        server.live_pages = self.random.random() < 0.3
        server.gone_is_status = self.random.random() < 0.5
        server.bookmark_seconds = self.random.choice((0.01, 0.05, 0.2))

    def fault(self):
        chance = self.random
        some = chance.randrange(600)
        garbage = chance.choice(GARBAGE)
        how = chance.choice((lib_fake_http.Cut, lib_fake_http.Reset))
        return chance.choice((
            lambda: refuse(chance.choice((400, 401, 403, 404, 410, 422, 429, 500, 502, 503, 504))),
            lambda: refuse(429, retry_after="0"),
            lambda: cut(some, how=how), lambda: cut(some, how=how), lambda: hang(some),
            lambda: split(some + 1), doubled, swapped, lambda: instead(garbage),
            lambda: replaced(chance.randrange(4), lambda _: garbage),
            lambda: say(garbage, after=chance.randrange(4)),
            lambda: changed(lambda _server, _pieces: iter(()))))()

    def change(self):
        kind = self.random.choice(KINDS)
        name = f"n{self.random.randrange(6)}"
        if self.random.random() < 0.3:
            self.scene.store.delete(kind, name)
        else:
            self.count += 1
            phase = "Failed" if kind == "Pod" and self.random.random() < 0.2 else "Running"
            self.scene.store.put(kind, name, f"m{self.count}", phase=phase)

    def misbehave(self):
        server = self.random.choice(self.servers)
        mode = self.random.choice(("list", "watchlist", "lists", "watch", "*"))
        server.fail(mode, self.random.choice((*KINDS, "*")), self.fault(), self.random.randrange(1, 4))

    def restart(self):
        number = self.random.randrange(2)
        before = self.servers[number]
        before.stop()
        self.requests += len(before.requests)
        self.change()
        self.servers[number] = self.scene.serve(port=before.port, http2=self.http2)
        self.settle(number)

    def step(self):
        chance = self.random.random()
        if chance < 0.6:
            self.change()
        elif chance < 0.9:
            self.misbehave()
        elif chance < 0.94:
            self.random.choice(self.servers).cut_all()
        elif chance < 0.98:
            self.scene.store.compact()
        else:
            self.restart()

    def heal(self):
        for server in self.servers:
            server.heal()
            server.cut_all()


def follow(scene, chaos):
    words = [word for server in chaos.servers for word in ("--server", server.url)]
    scene.start(*words, "--ca", scene.pki.authority.path, watch_silence_ms=500, list_silence_ms=500,
                patience_ms=500)


def lives(pki, seed, goes_on):
    """Steps while `goes_on(count)`; then the follower must come to what there is."""
    with Scene(pki) as scene:
        chaos = Chaos(scene, seed)
        for _ in range(10):
            chaos.misbehave()
        follow(scene, chaos)
        count = 0
        while goes_on(count):
            count += 1
            chaos.step()
            time.sleep(chaos.random.random() * 0.008)  # the pace of the world
        chaos.heal()
        scene.catches_up()
        scene.goes_on()
        scene.follower.is_content()
        requests = chaos.requests + sum(len(server.requests) for server in chaos.servers)
        assert requests > 2 * len(KINDS), "almost nothing was asked"
        return count, requests


def main():
    lib_follow_scene.begin()
    pki = Pki()
    seeds = [int(word) for word in sys.argv[1:]] or \
        [random.SystemRandom().randrange(10**9) for _ in range(SEEDS + 1)]
    *short, long = seeds
    for seed in short or [long]:
        with claim(f"random faults, seed {seed}"):
            lives(pki, seed, lambda count: count < STEPS)
    with claim(f"random faults for {CHURN_SECONDS} s, seed {long}"):
        ends = time.monotonic() + CHURN_SECONDS
        count, requests = lives(pki, long, lambda _: time.monotonic() < ends)
        print(f"      {count} steps, {requests} requests")
    lib_lab.finish(len(seeds))


main()
