#!/usr/bin/env -S python3 -B
"""Programs of others on links where Weir has its own, by TCX and by clsact: they go on, in their order,
whatever the agent does, and `weir status` shows them."""

import signal

import lib_bpf
import lib_lab
import lib_net
from lib_bpf import BPF_F_AFTER, BPF_F_BEFORE
from lib_lab import claim, equal
from lib_traffic import Traffic, flows_on, no_loss

CLAIMS = 9
SOME = 100  # packets


def shown(node):
    return [(one["link"], one["direction"], one["attach"], one["name"], one["order"])
            for one in node.status()["other_programs"]]


def named(link, direction):
    """As tc names what it has got by a pin."""
    return f"{link}_{direction}:[*fsobj]"


def add_clsact(node, link, programs):
    with node.inside():
        lib_net.run("tc", "qdisc", "add", "dev", link, "clsact")
        for direction, program in programs.items():
            pin = node.bpffs / f"{link}_{direction}"
            program.pin(pin)
            lib_net.run("tc", "filter", "add", "dev", link, direction, "bpf", "direct-action",
                        "pinned", pin)
            pin.unlink()


class Scene:
    """On the uplink and on a pod's link of node a: one program before Weir's, one after, and clsact."""

    def __init__(self, lab, pod):
        self.node = lab.a
        self.pod_link = next(name for name in self.node.links() if name.startswith("weir") and
                             name != "weir_vxlan")
        self.indexes = {name: self.node.links()[name]["ifindex"] for name in ("eth0", self.pod_link)}
        self.stats = lib_bpf.count_runs()
        self.programs, self.links = {}, []
        for link, index in self.indexes.items():
            for direction in ("ingress", "egress"):
                for name, flags in (("first", BPF_F_BEFORE), ("last", BPF_F_AFTER)):
                    program = lib_bpf.Program(f"{name}_{direction[:2]}")
                    self.programs[link, direction, name] = program
                    self.links.append(program.attach(self.node, index, direction, flags))
            behind = {direction: lib_bpf.Program(f"clsact_{direction[:2]}")
                      for direction in ("ingress", "egress")}
            add_clsact(self.node, link, behind)
            for direction, program in behind.items():
                self.programs[link, direction, "clsact"] = program
        self.wanted = sorted(
            (link, direction, attach, name, when) for link in self.indexes
            for direction in ("ingress", "egress")
            for attach, name, when in (("tcx", f"first_{direction[:2]}", "before"),
                                       ("tcx", f"last_{direction[:2]}", "after"),
                                       ("clsact", named(link, direction), "after")))

    def in_order(self):
        """Weir's are between."""
        for link, index in self.indexes.items():
            for direction in ("ingress", "egress"):
                first, last = (self.programs[link, direction, name].id for name in ("first", "last"))
                running = lib_bpf.order(self.node, index, direction)
                equal((len(running), running[0], running[-1]), (3, first, last), f"{link} {direction}")

    def runs(self):
        return {key: program.runs() for key, program in self.programs.items()}

    def go(self):
        for link in self.links:
            link.close()
        for program in self.programs.values():
            program.close()


def main():
    lib_lab.begin()
    lab = lib_lab.Lab()
    a1, b1 = lab.pod(lab.a, "a1"), lab.pod(lab.b, "b1")
    with claim("where there is nothing of others, nothing is shown"):
        equal(shown(lab.a), [])
    scene = Scene(lab, a1)
    with claim("weir status shows each, its link, direction, and whether it runs before Weir's"):
        equal(sorted(shown(lab.a)), scene.wanted)
    with claim("so does its text"):
        text = lib_net.run(lib_lab.BIN / "weir", "status", "--socket",
                           lab.a.run_dir / "agent.sock").stdout
        for word in ("ALSO ON", "first_in", "before Weir's", "clsact", named("eth0", "ingress")):
            assert word in text, text
    traffic = Traffic([(f"IPv{family}", a1, b1, family, b1.address[family]) for family in (4, 6)])
    with claim("traffic goes on, and each program sees what is its to see"):
        before = scene.runs()
        flows_on(traffic, "with programs of others")
        after = scene.runs()
        seen = {key: after[key] - count for key, count in before.items()}
        for key in (("eth0", direction, name) for direction in ("ingress", "egress")
                    for name in ("first", "last", "clsact")):
            assert seen[key] >= SOME, f"{key}: {seen}"
        # What Weir sends on itself, those behind it do not see.
        assert seen[scene.pod_link, "ingress", "first"] >= SOME, seen
        assert seen[scene.pod_link, "ingress", "last"] < SOME, seen
        scene.in_order()
    with claim("an agent that starts anew leaves them as they are"):
        lab.a.stop(signal.SIGKILL)
        lab.a.start()
        scene.in_order()
        equal(sorted(shown(lab.a)), scene.wanted)
    with claim("an agent with other settings, whose programs replace Weir's, too"):
        lab.a.stop()
        lab.a.start(*lab.arguments, "--ct-max", "70000")
        scene.in_order()
        equal(sorted(shown(lab.a)), scene.wanted)
    with claim("clsact still sees what leaves by the uplink"):
        before = scene.programs["eth0", "egress", "clsact"].runs()
        flows_on(traffic, "before clsact")
        assert scene.programs["eth0", "egress", "clsact"].runs() > before + SOME
    with claim("nothing was lost meanwhile"):
        no_loss(traffic.end())
    with claim("they go, and nothing is shown any more"):
        scene.go()
        for link in scene.indexes:
            with lab.a.inside():
                lib_net.run("tc", "qdisc", "del", "dev", link, "clsact")
        equal(shown(lab.a), [])
    lib_lab.finish(CLAIMS)


main()
