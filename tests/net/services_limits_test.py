#!/usr/bin/env -S python3 -B
"""Each table of Services made tiny: what fits is served, what does not is told of with the setting to
raise, also by the next agent; and what goes makes room."""

import itertools
import signal

import lib_lab
import lib_services
from lib_lab import claim, equal
from lib_net import FAMILY, wait_for
from lib_services import Caller, Servers, answers, both, delete, service, told, vip, who

CLAIMS = 2 * (3 * 5 + 3 + 2)
NODE_PORT = 30080
NUMBERS = range(1, 7)
BALANCER = {4: "198.51.100.", 6: "2001:db8:100::"}
EVERYBODY = {"loadBalancerSourceRanges": ["10.0.0.0/8", "172.16.0.0/12", "fd00::/8"]}


class Bench:
    def __init__(self, hooks, *setting, weights=(1, 1)):
        self.lab = lab = lib_services.lab(hooks, setting)
        self.backends = [lab.pod(node, name, {"weir.dev/weight": str(weight)})
                         for node, name, weight in zip(lab.nodes, ("b0", "b1"), weights)]
        self.names = {pod.pod for pod in self.backends}
        self.servers = Servers()
        for pod in self.backends:
            self.servers.add(pod.pod, pod, 8080)
        self.servers.start()
        self.callers = [Caller("a pod", lab.pod(lab.a, "c"), lab.a), Caller("the node", lab.a, lab.a)]
        self.text = f"{' '.join(map(str, setting))}, {lib_services.HOOKS[hooks]}"

    def claim(self, text):
        return claim(f"{self.text}: {text}")

    def notes(self, number):
        return told(self.lab.a, f"s{number}")["notes"]

    def refused(self):
        return {number for number in NUMBERS if self.notes(number)}

    def addresses(self, number):
        return {family: f"{BALANCER[family]}{number}" for family in FAMILY}

    def is_served(self, number, virtual=vip):
        return all(answers(caller, family, virtual(family, number), names=self.names)
                   for caller in self.callers for family in FAMILY)

    def end(self):
        self.lab.end()


def fills(bench, setting, write, virtual=vip):
    """write(number) writes a Service; not all of NUMBERS have room."""
    lab = bench.lab
    write(1)
    wait_for(lambda: bench.is_served(1, virtual), "the first Service")
    for number in NUMBERS[1:]:
        write(number)
    with bench.claim("what does not fit is told of, with the setting to raise"):
        wait_for(lambda: all(told(lab.a, f"s{number}") for number in NUMBERS) and bench.refused(),
                 "notes")
        wait_for(lambda: len(bench.refused()) < len(NUMBERS), "one that fits")
        for number in bench.refused():
            for note in bench.notes(number):
                assert note.startswith(f"lab/s{number}:") and f"raise {setting}" in note, note
    with bench.claim("what fits is served, above all what was there before"):
        served = set(NUMBERS) - bench.refused()
        assert 1 in served, served
        for number in served:
            wait_for(lambda n=number: bench.is_served(n, virtual), f"s{number}")
    with bench.claim("an agent that is killed and started says and serves the same"):
        lab.a.stop(signal.SIGKILL)
        lab.a.start()
        wait_for(lambda: set(NUMBERS) - bench.refused() == served, f"{served} to be served again")
        for number in served:
            assert bench.is_served(number, virtual), number
    gone = served - {1}
    with bench.claim("what goes makes room"):
        kept = set(list(bench.refused())[:max(1, len(gone))])
        for number in set(NUMBERS) - {1} - kept:
            delete(lab, f"s{number}")
        for number in kept:
            wait_for(lambda n=number: not bench.notes(n) and bench.is_served(n, virtual),
                     f"s{number} to have room")
    with bench.claim("the first was never disturbed"):
        equal(bench.notes(1), [])
        assert bench.is_served(1, virtual)


def rows(hooks):
    bench = Bench(hooks, "--service-max", 24)
    fills(bench, "--service-max",
          lambda number: service(bench.lab, f"s{number}", number, bench.backends))
    bench.end()


def backends(hooks):
    bench = Bench(hooks, "--backend-max", 32)
    fills(bench, "--backend-max",
          lambda number: service(bench.lab, f"s{number}", number, bench.backends))
    bench.end()


def source_ranges(hooks):
    bench = Bench(hooks, "--source-range-max", 20)

    def write(number):
        service(bench.lab, f"s{number}", number, bench.backends, type="LoadBalancer",
                balancer=bench.addresses(number).values(), **EVERYBODY)
    fills(bench, "--source-range-max", write, lambda family, number: bench.addresses(number)[family])
    bench.end()


def rings(hooks):
    """Weights make large sets of two backends."""
    bench = Bench(hooks, "--ring-max", 1, "--maglev-slots", 251, weights=(70, 69))
    lab = bench.lab
    service(lab, "s1", 1, bench.backends, both(nodePort=NODE_PORT), type="NodePort")
    with bench.claim("the Services that have no ring are told of"):
        wait_for(lambda: told(lab.a, "s1") and bench.notes(1), "notes")
        for note in bench.notes(1):
            assert "at random" in note and "raise --ring-max" in note, note
    with bench.claim("and served all the same, inside and outside"):
        wait_for(lambda: bench.is_served(1), "s1")
        for family, node in itertools.product(FAMILY, lab.nodes):
            equal({who(lab.net, family, node.address[family], NODE_PORT) for _ in range(24)},
                  bench.names, f"IPv{family} at {node.node}")
    with bench.claim("an agent that is killed and started goes on with the ring that is there"):
        lab.a.stop(signal.SIGKILL)
        lab.a.start()
        wait_for(lambda: bench.notes(1) and bench.is_served(1), "s1")
        service(lab, "s1", 1, bench.backends[:1], both(nodePort=NODE_PORT), type="NodePort")
        wait_for(lambda: not bench.notes(1), "no need of a ring")
        service(lab, "s1", 1, bench.backends, both(nodePort=NODE_PORT), type="NodePort")
        wait_for(lambda: bench.notes(1) and bench.is_served(1), "s1")
    bench.end()


def affinity(hooks):
    """More clients than the table has room for."""
    bench = Bench(hooks, "--affinity-max", 2)
    lab = bench.lab
    bench.callers += [Caller(f"pod {i}", lab.pod(lab.a, f"d{i}"), lab.a) for i in range(6)]
    service(lab, "s1", 1, bench.backends, sessionAffinity="ClientIP")
    with bench.claim("clients that the table has no room for are served"):
        for _ in range(5):
            wait_for(lambda: bench.is_served(1), "s1")
    with bench.claim("a client that is alone stays with its backend"):
        for family in FAMILY:
            alone = bench.callers[0]
            equal(len({who(alone, family, vip(family, 1)) for _ in range(20)}), 1, f"IPv{family}")
    bench.end()


def main():
    lib_lab.begin()
    for hooks in (True, False):
        for play in (rows, backends, source_ranges, rings, affinity):
            play(hooks)
    lib_lab.finish(CLAIMS)


main()
