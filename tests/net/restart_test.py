#!/usr/bin/env -S python3 -B
"""Agents die and come back while traffic runs: nothing is lost, reset or left behind; changed
settings take over from the running programs; an agent that cannot start touches nothing."""

import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import lib_lab
import lib_net
from lib_lab import WORLD, claim, equal
from lib_net import wait_for
from lib_remains import answers, remains
from lib_traffic import Traffic, flows_on, no_loss

ROUNDS = 20
CLAIMS = 36


# --- what the tables say -------------------------------------------------------------------------

def v6(family, address):
    raw = lib_net.packed(family, address)
    return raw if family == 6 else bytes(10) + b"\xff\xff" + raw


def counted(node, family, one, other):
    """Packets of a TCP connection by both ends, laid out by abi/conntrack.h; None: no entry."""
    ends = sorted((v6(family, host), port) for host, port in (one, other))
    for key, value in node.map("weir_ct").items():
        ports = struct.unpack("!HH", key[32:36])
        if list(zip((key[:16], key[16:32]), ports)) == ends and key[36] == socket.IPPROTO_TCP:
            return sum(struct.unpack("=QQ", value[112:128]))
    return None


# --- adoption under traffic ----------------------------------------------------------------------

def ways(lab, pods, outside=True):
    a1, a2, b1 = pods
    found = [(f"IPv{family} {name}", a1, server, family, server.address[family])
             for family in (4, 6) for name, server in (("on the node", a2), ("across", b1))]
    if outside:
        found.append(("IPv4 masqueraded", a1, lab.net, 4, WORLD[4]))
    return found


def adoption(lab, pods):
    traffic = Traffic(ways(lab, pods))
    with claim("traffic flows: echoes, 1000 datagrams a second, new connections"):
        flows_on(traffic, "at first")
    seen = traffic.ask("IPv4 on the node")
    tuple_ = (4, seen["stream"], seen["server"])
    ids = [node.attached() for node in lab.nodes]
    endpoints = [node.get("/v1/endpoints") for node in lab.nodes]
    with claim("kill -9 of both agents: traffic goes on while they are away"):
        for node in lab.nodes:
            node.stop(signal.SIGKILL)
        flows_on(traffic, "without agents")
    with claim("connections are counted without an agent"):
        before = counted(lab.a, *tuple_)
        flows_on(traffic, "still")
        assert counted(lab.a, *tuple_) > before > 0, before
    with claim("agents come back and adopt what is there"):
        for node in lab.nodes:
            node.start()
            assert node.status()["adopted"], "loaded anew"
            assert " error " not in node.log_end(), node.log_end()
    with claim("what was adopted is counted at once"):
        for node in lab.nodes:
            wait_for(lambda n=node: n.status()["connections"], "connections to be counted", 1)
    with claim("the same programs are attached to the same links"):
        assert ids[0] and ids[1], "nothing is attached"
        equal([node.attached() for node in lab.nodes], ids)
    with claim("endpoints are as before"):
        equal([node.get("/v1/endpoints") for node in lab.nodes], endpoints)
    with claim("traffic goes on, after a second kill and start, too"):
        flows_on(traffic, "with agents again")
        lab.a.stop(signal.SIGKILL)
        lab.a.start()
        flows_on(traffic, "once more")
    with claim("a connection's count goes on over all that"):
        known = traffic.ask("IPv4 on the node")["rounds"]
        found = counted(lab.a, *tuple_)
        assert found >= 2 * known, f"{found} packets of {known} rounds"
    result = traffic.end()
    with claim("no datagram was lost, no connection was reset or refused"):
        no_loss(result)


# --- kill at random moments ----------------------------------------------------------------------

class Churn:
    """Pods that come and go on one node while its agent dies, as a runtime makes them do."""

    def __init__(self, lab, node, dice):
        self.lab, self.node, self.dice, self.made = lab, node, dice, 0
        self.alive, self.spare = [], []

    def fresh(self):
        if self.spare:
            return self.spare.pop()
        self.made += 1
        return lib_lab.Pod(self.lab, self.node, f"c{self.made}")

    def round(self):
        coming = [self.fresh() for _ in range(3)]
        going = [self.alive.pop() for _ in range(min(2, len(self.alive)))]
        done = {}

        def call(command, pod):
            done[pod] = pod.cni(command, None)[0]

        threads = [threading.Thread(target=call, args=("ADD", pod)) for pod in coming]
        threads += [threading.Thread(target=call, args=("DEL", pod)) for pod in going]
        for thread in threads:
            thread.start()
        time.sleep(self.dice.uniform(0, 0.06))  # the moment is the test's input
        self.node.stop(signal.SIGKILL)
        for thread in threads:
            thread.join()
        self.node.start()
        for pod in coming:
            if done[pod] != 0:
                pod.cni("DEL")  # as runtimes do after a failed ADD
            if done[pod] == 0 or self.dice.random() < 0.5:
                pod.add()
                self.alive.append(pod)
            else:
                self.spare.append(pod)
        for pod in going:
            if done[pod] != 0:
                pod.cni("DEL")
            self.lab.forget_pod(pod)
            self.spare.append(pod)


def random_kills(lab, pods):
    a1 = pods[0]
    node = lab.a
    seed = int(os.environ.get("WEIR_SEED", random.SystemRandom().randrange(1 << 32)))
    before = remains(node)
    churn = Churn(lab, node, random.Random(seed))
    with claim(f"kill -9 at {ROUNDS} random moments of ADD and DEL (WEIR_SEED={seed})"):
        for number in range(ROUNDS):
            churn.round()
            wanted = sorted(["a1", "a2"] + [pod.pod for pod in churn.alive])
            equal(sorted(one["pod"] for one in node.get("/v1/endpoints")), wanted,
                  f"round {number}")
    with claim("all pods that should be there are reachable, by host and by pod"):
        for pod in churn.alive:
            answers(a1, pod)
            answers(lab.b, pod)
    with claim("links are as many as pods"):
        equal(len(remains(node)["links"]), 2 + len(churn.alive))
    with claim("when they are gone, nothing of them is left"):
        for pod in churn.alive:
            pod.delete()
        wait_for(lambda: remains(node) == before, f"{remains(node)} to be {before}", 5)
        for pod in churn.alive + churn.spare:
            equal(sorted(pod.links()), ["lo"], pod.pod)
    with claim("the pods that stayed are reachable"):
        answers(pods[2], a1)
        answers(lab.b, pods[1])


def del_while_away(lab):
    node = lab.a
    before = remains(node)
    pod = lab.pod(node, "short")
    with claim("DEL while the agent is away succeeds and is applied at its start"):
        node.stop(signal.SIGKILL)
        pod.delete()
        pod.remove()
        assert os.listdir(node.state / "cni-spool"), "nothing is spooled"
        node.start()
        wait_for(lambda: remains(node) == before, f"{remains(node)} to be {before}", 5)
    with claim("ADD while the agent is away is error 11, try again later"):
        node.stop(signal.SIGKILL)
        pod = lib_lab.Pod(lab, node, "early")
        _, answer = pod.cni("ADD", 1)
        equal(answer["code"], 11)
        node.start()
        equal(remains(node), before)
        equal(sorted(pod.links()), ["lo"])
    with claim("a pod whose namespace vanished while the agent was away is forgotten at start"):
        pod = lab.pod(node, "gone")
        node.stop(signal.SIGKILL)
        lab.forget_pod(pod)
        pod.remove()
        node.start()
        wait_for(lambda: remains(node) == before, f"{remains(node)} to be {before}", 5)


# --- changed settings ----------------------------------------------------------------------------

def source_outside(lab, pod, family=4):
    with lib_net.datagrams(lab.net, family, WORLD[family]) as server, \
            lib_net.datagrams(pod, family) as client:
        client.sendto(b"who?", server.getsockname()[:2])
        return server.recvfrom(100)[1][0]


def changed_settings(lab, pods):
    a = lab.a
    old = a.attached()
    traffic = Traffic(ways(lab, pods, outside=False))
    flows_on(traffic, "before the change")
    with claim("a changed setting loads new programs, and replaces the old ones on their links"):
        for how, value in ((signal.SIGTERM, "false"), (signal.SIGKILL, "true"),
                           (signal.SIGTERM, "false")):
            a.stop(how)
            a.start(*lab.arguments, "--masquerade", value)
            assert not a.status()["adopted"], "adopted programs with other settings"
            new = a.attached()
            equal(sorted(new), sorted(old), "links")
            assert not set(new.values()) & set(old.values()), "an old program is still attached"
            old = new
            flows_on(traffic, f"with masquerade {value}")
    with claim("without masquerade the world sees the pod's address"):
        equal(source_outside(lab, pods[0]), pods[0].address[4])
    with claim("only one build's programs are pinned"):
        builds = {pin.split("/")[1] for pin in a.pins() if "/progs-" in pin}
        equal(len(builds), 1, str(builds))
    result = traffic.end()
    with claim("programs were replaced without a lost datagram or a reset connection"):
        no_loss(result)
    with claim("with masquerade again the world sees the node's address"):
        a.stop()
        a.start(*lab.arguments)
        equal(source_outside(lab, pods[0]), a.address[4])
    with claim("another size of the connection table: new traffic flows, nothing is lost"):
        a.stop()
        a.start(*lab.arguments, "--ct-max", "4096")
        table = next(one for one in a.status()["maps"] if one["name"] == "weir_ct")
        equal(table["capacity"], 4096)
        assert not any("weir_ct" in one for one in a.status()["warnings"]), a.status()["warnings"]
        traffic = Traffic(ways(lab, pods))
        flows_on(traffic, "with a new table")
        no_loss(traffic.end())


# --- agents that cannot start --------------------------------------------------------------------

def touched(lab, node):
    return {"links": sorted(node.links()), "pins": node.pins(), "programs": node.attached(),
            "endpoints": node.get("/v1/endpoints"),
            "routes": [node.ip(f"-{family}", "route", "show", "table", "all") for family in (4, 6)],
            "state": sorted(os.listdir(node.state / "sandboxes"))}


def cannot_start(lab):
    node = lab.a
    aside = lab.folder / "aside"
    aside.mkdir()
    own = {"--run-dir": aside / "run", "--state-dir": aside / "state"}
    elsewhere = own | {"--bpffs": node.bpffs / "nobody"}
    cases = [
        ("a second agent on the same run directory", {}, "agent.pid"),
        ("a bpffs that is none", own | {"--bpffs": aside}, "mount -t bpf"),
        ("a cgroup that is none", elsewhere | {"--cgroup": aside}, "cgroup v2"),
        ("a cgroup that does not exist", elsewhere | {"--cgroup": aside / "none"}, "cgroup v2"),
        ("no Node object", elsewhere | {"--node": "nobody"}, "nobody"),
        ("a device that does not exist", elsewhere | {"--device": "nic9"}, "nic9"),
        ("an objects directory that does not exist", elsewhere | {"--objects": aside / "none"},
         "none"),
        ("a connection table of no size", elsewhere | {"--ct-max": "0"}, "ct-max"),
        ("ports of translation backwards", elsewhere | {"--nat-port-min": "65000",
                                                        "--nat-port-max": "64000"}, "nat-port"),
        ("a setting that is no number", elsewhere | {"--ct-max": "many"}, "ct-max"),
    ]
    for name, options, says in cases:
        with claim(f"{name}: one clear error, and nothing is touched"):
            before = touched(lab, node)
            words = [word for pair in options.items() for word in pair]
            done = subprocess.run(node.command(*words), capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=50, check=False)
            lines = [line for line in (done.stdout + done.stderr).splitlines()
                     if "error" in line or says in line]
            assert done.returncode not in (0, None), "it started"
            assert says.replace("-", "_") in lines[-1].replace("-", "_") and len(lines) == 1, \
                f"{done.returncode}: {done.stdout}{done.stderr}"
            equal(touched(lab, node), before)
            left = [path.name for path in aside.rglob("*") if not path.is_dir()]
            equal([name for name in left if name != "agent.pid"], [], "files")
    with claim("without capabilities or type information of the kernel the remedy is told"):
        for wrapper, says in ((["setpriv", "--bounding-set=-bpf"], "lacks CAP_BPF: run it as root"),
                              (["unshare", "--mount", "sh", "-c",
                                'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"],
                               "CONFIG_DEBUG_INFO_BTF")):
            words = node.command(*(word for pair in elsewhere.items() for word in pair))
            done = subprocess.run([*words[:2], *wrapper, *words[2:]], capture_output=True,
                                  text=True, stdin=subprocess.DEVNULL, timeout=50, check=False)
            assert done.returncode == 1 and says in done.stdout + done.stderr, done


def waits_and_says_so(lab):
    node = lab.a
    aside = lab.folder / "waiting"
    aside.mkdir()
    where = aside / "run" / "agent.sock"
    words = node.command("--run-dir", aside / "run", "--state-dir", aside / "state", "--bpffs",
                         node.bpffs / "nobody", "--node", "nobody")
    with claim("an agent that waits is no agent that serves: a probe tells what it waits for"):
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as agent:
            try:
                wait_for(where.exists, "the agent's socket", 20)
                for option, status in (("--probe", 3), ("-ojson", 0)):
                    done = subprocess.run(["weir", "status", "--socket", where, option], text=True,
                                          capture_output=True, check=False, timeout=20)
                    equal(done.returncode, status, done.stderr)
                    assert "Node nobody is not among the objects" in done.stdout, done.stdout
            finally:
                agent.terminate()
        equal(agent.returncode, 1)
    with claim("one that serves passes the probe, and says nothing"):
        done = subprocess.run(["weir", "status", "--probe", "--socket", node.run_dir / "agent.sock"],
                              text=True, capture_output=True, check=False, timeout=20)
        equal((done.returncode, done.stdout), (0, ""))


def main():
    lib_lab.begin()
    lab = lib_lab.Lab("vxlan")
    pods = [lab.pod(lab.a, "a1"), lab.pod(lab.a, "a2"), lab.pod(lab.b, "b1")]
    adoption(lab, pods)
    random_kills(lab, pods)
    del_while_away(lab)
    changed_settings(lab, pods)
    lab.a.stop()
    lab.a.start()
    cannot_start(lab)
    waits_and_says_so(lab)
    lib_lab.finish(CLAIMS)


main()
