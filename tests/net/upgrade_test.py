#!/usr/bin/env -S python3 -B
"""Agents of another build or with tables of another size take over under the load of a busy node, and
are killed as they do: the rows of tables are taken along, and nothing is lost or reset."""

import contextlib
import math
import os
import random
import signal
import time

import lib_lab
import lib_services
from lib_kill import Killer
from lib_lab import BIN, claim, equal
from lib_load import PORT, TESTS, Scene
from lib_net import FAMILY, wait_for
from lib_services import Servers, both, met, service, tcp, vip

CLAIMS = 6 + 2 * 2 * 2 + 1 + 2
BUILDS = {"this one": BIN / "weir-agent", "one with other layouts": TESTS / "weir-agent-other"}
STICKY_PORT = 8082
HELD = 24  # of each kind
ROUNDS = 10


class Upgrade(Scene):
    """Also a Service whose clients stay with their backends. Source ports for translated connections are
    few: two builds that give the same one to two connections are soon noticed."""

    ARGUMENTS = (*Scene.ARGUMENTS, "--nat-port-max", "62499")

    def __init__(self):
        super().__init__()
        servers = Servers()
        for pod in self.backends:
            servers.add(pod.pod, pod, STICKY_PORT)
        servers.start()
        service(self.lab, "sticky", 2, self.backends, both(target=STICKY_PORT),
                sessionAffinity="ClientIP")
        lib_services.wait_to_serve([self.client], [2])

    def stays_with(self):
        return {family: met(self.client, family, vip(family, 2), times=3) for family in FAMILY}


def change(node, *arguments):
    """The agent starts anew, with these; what it says of its tables."""
    node.stop()
    before = len(node.log.read_text())
    node.start(*node.lab.arguments, *arguments)
    assert not node.status()["adopted"], "it runs on with the programs of before"
    said = [line for line in node.log.read_text()[before:].splitlines() if " map weir_" in line]
    assert not any("error" in line for line in said), said
    return said


def another_size(scene):
    node = scene.lab.a
    load = scene.load()
    load.flows_on("at first")
    for turn in (1, 2):
        for size in ("65536", "131072"):
            with claim(f"--ct-max {size}, turn {turn}: connections are taken along, and said"):
                said = change(node, "--ct-max", size)
                assert any("weir_ct" in line and "taken along" in line for line in said), said
                equal(next(one["capacity"] for one in node.status()["maps"]
                           if one["name"] == "weir_ct"), int(size))
                load.flows_on(f"with {size}")
    with claim("other sizes: no datagram was lost, no connection was reset or refused"):
        load.end("other sizes")


def another_layout(scene):
    node = scene.lab.a
    load = scene.load()
    load.flows_on("at first")
    backends = scene.stays_with()
    for turn in (1, 2):
        for name in reversed(BUILDS):
            with claim(f"the agent is {name}, turn {turn}: rows are taken along, and said"):
                node.agent = BUILDS[name]
                said = change(node)
                for table in ("weir_ct", "weir_affinity", "weir_frag"):
                    assert any(f" {table}:" in line and "taken along" in line for line in said), said
                load.flows_on(f"with {name}")
            with claim(f"the agent is {name}, turn {turn}: clients stay with their backends"):
                equal(scene.stays_with(), backends)
    with claim("other layouts: no datagram was lost, no connection was reset or refused"):
        load.end("other layouts")


def killed_in_it(scene):
    """From when the first table is pinned to when links have their programs; also soon after the start,
    while rows are copied. Up to three in a row; the next one, of either build, lives."""
    node = scene.lab.a
    seed = int(os.environ.get("WEIR_SEED", random.SystemRandom().randrange(1 << 32)))
    dice = random.Random(seed)
    load = scene.load()
    load.flows_on("at first")
    deaths = []
    with claim(f"agents of both builds are killed as they take over (WEIR_SEED={seed})"):
        for number in range(ROUNDS):
            deaths += [killed_at(node, dice) for _ in range(dice.choice((1, 2, 3)))]
            node.agent = BUILDS[dice.choice(list(BUILDS))]
            node.start()
            load.check(load.now(), f"round {number}, then {node.agent.name}: {deaths}")
        print(f"      {sum(killed for (killed, _), _ in deaths)} of {len(deaths)} died on the way",
              flush=True)
        node.agent = BUILDS["this one"]
        node.start()
        load.flows_on("with an agent that lives")
        equal([pin for pin in node.pins() if "/old-" in pin or "/begun-" in pin or "/new-" in pin], [])
    with claim("nothing was lost, reset or refused by that"):
        load.end("killed in it")


def killed_at(node, dice):
    """Another agent, killed at a random system call, or when it serves: where, and which build's."""
    node.agent = BUILDS[dice.choice(list(BUILDS))]
    node.stop(dice.choice((signal.SIGKILL, signal.SIGTERM)))
    # The first calls of each are more worth than the many that copy rows.
    point = int(math.exp(dice.uniform(0, math.log(20_000))))
    killer = Killer(point, dice.choice((node.bpffs / "weir", node.run_dir / "agent.pid")))
    node.launch(*node.lab.arguments, under=killer.words, **killer.options)
    killer.given()
    wait_for(lambda: killer.ended() or serving(node), "the agent to die, or to serve")
    node.stop(signal.SIGKILL)
    return killer.result(), node.agent.name


def serving(node):
    with contextlib.suppress(OSError, ValueError):
        return node.get("/v1/version")["node"] == node.node
    return False


def a_small_table(scene):
    node = scene.lab.a
    servers = scene.serve()
    ways = [way[1:] for way in scene.ways() if "Service" in way[0] or "mas" in way[0]]
    held = [tcp(place, 6 if ":" in address else 4, address, port)
            for place, address, port in ways for _ in range(HELD)]
    all_echo(held, "at first")
    for _ in range(100):  # two rows each
        tcp(scene.client, 4, vip(4, 1), PORT).close()
    with claim("a table that is too small: what did not fit is told, translated connections stay"):
        said = change(node, "--ct-max", str(2 * len(held) + 50))
        assert any("weir_ct" in line and "rows are lost" in line for line in said), said
        assert any("weir_ct" in line for line in node.status()["warnings"])
        all_echo(held, "in a small table")
    for sock in held:
        sock.close()
    servers.end()


def all_echo(held, what):
    for number, sock in enumerate(held):
        text = f"{what} {number}".encode()
        sock.sendall(text)
        equal(sock.recv(100), text, f"connection {number}")


def main():
    lib_lab.begin()
    scene = Upgrade()
    a_small_table(scene)
    change(scene.lab.a)
    for play in (another_size, another_layout, killed_in_it):
        begun = time.monotonic()
        play(scene)
        print(f"      {play.__name__}: {time.monotonic() - begun:.0f} s", flush=True)
    lib_lab.finish(CLAIMS)


main()
