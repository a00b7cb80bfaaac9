#!/usr/bin/env -S python3 -B
"""What a user sees: weir monitor, capture, status, endpoints on two nodes, of connections and drops
that really happened."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading

import lib_lab
import lib_net
from lib_lab import BIN, claim, equal
from lib_net import PATIENCE, wait_for

PORT = 8080
SPOOFED = "10.99.99.99"


class Weir:
    """The command line, against the lab's agents as if they were a local cluster's."""

    def __init__(self, lab):
        base = lab.folder / "run-dir"
        (base / "lab").mkdir(parents=True)
        (base / "lab" / "nodes").symlink_to(lab.folder)
        self.where = ["--run-dir", str(base), "--name", "lab"]

    def command(self, verb, *words):
        return [str(BIN / "weir"), verb, *map(str, words), *self.where]

    def __call__(self, verb, *words, code=(0,)):
        done = subprocess.run(self.command(verb, *words), text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=2 * PATIENCE, check=False)
        assert done.returncode in code, (verb, words, done.returncode, done.stdout, done.stderr)
        return done

    def flows(self, *words):
        done = self("monitor", "--last", 10000, "-o", "json", *words, code=(0, 3))
        flows = [json.loads(line) for line in done.stdout.splitlines()]
        times = [flow["time"] for flow in flows]
        equal(times, sorted(times), "history of several nodes is in order")
        return flows

    @contextlib.contextmanager
    def running(self, verb, *words):
        job = subprocess.Popen(self.command(verb, *words), text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=lib_net.die_with_parent)
        try:
            yield job
        finally:
            if job.poll() is None:
                job.send_signal(signal.SIGINT)
            job.communicate(timeout=PATIENCE)


def exchange(client, server, family, port=PORT):
    """One connection: 1000 bytes there, 3000 back, closed by the client."""
    with lib_net.listener(server, family, server.address[family], port) as listening:
        def serve():
            peer, _ = listening.accept()
            with peer:
                got = 0
                while got < 1000:
                    got += len(peer.recv(4096))
                peer.sendall(b"y" * 3000)
                peer.recv(1)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with lib_net.connected(client, family, (server.address[family], port)) as sock:
            source = sock.getsockname()[1]
            sock.sendall(b"x" * 1000)
            got = 0
            while got < 3000:
                got += len(sock.recv(4096))
        thread.join(PATIENCE)
    return source


def types(flows, node):
    return [flow["type"] for flow in flows if flow["node"] == node and
            flow["type"] in ("new", "established", "closed")]


def until(condition, what):
    """What the condition gives once it is true."""
    return wait_for(condition, what)


def monitor_tells_connections(weir, cart, payment):
    for family in (4, 6):
        port = exchange(cart, payment, family)
        wanted = ["new", "established", "closed"]
        with claim(f"both nodes tell new, established, closed of a connection, IPv{family}"):
            flows = until(lambda: (lambda seen: seen if all(
                types(seen, node) == wanted for node in ("a", "b")) else None)(
                    weir.flows("--port", port)), f"the life of port {port}")
            for flow in flows:
                equal(flow["source"]["namespace"], "lab")
                equal(flow["source"]["pod"], "cart")
                equal(flow["source"]["port"], port)
                equal(flow["source"]["address"], cart.address[family])
                equal(flow["destination"]["pod"], "payment")
                equal(flow["destination"]["port"], PORT)
                equal(flow["protocol"], "TCP")
                equal(flow["verdict"], "forwarded")
        with claim(f"closed says who, how long and how much, IPv{family}"):
            closed = next(flow for flow in flows if flow["type"] == "closed")
            equal(closed["closed_by"], "source")
            equal(closed["reset"], False)
            assert closed["duration_ns"] > 0, closed
            assert closed["bytes"][0] > 1000 and closed["bytes"][1] > 3000, closed


def monitor_reads_like_a_sentence(weir, cart, payment):
    with claim("the compact line names both ends and tells the story"):
        port = exchange(cart, payment, 4)
        until(lambda: len(types(weir.flows("--port", port), "a")) == 3, "the connection's end")
        text = weir("monitor", "--last", 10, "--port", port, "--node", "a").stdout
        ends = f"lab/cart:{port} → lab/payment:{PORT}  TCP"
        lines = text.splitlines()
        equal(len(lines), 3, text)
        for line, mark, story in zip(lines, ("+ new", "✓ established", "- closed"),
                                     ("by tunnel", "handshake ", "closed by source")):
            assert mark in line and ends in line and story in line, line
            assert "\x1b" not in line, "colours only on a terminal"


def monitor_follows(weir, cart, payment):
    with claim("monitor follows, ends by Ctrl-C with status 0"):
        first = exchange(cart, payment, 4)
        with weir.running("monitor", "--last", 10000, "-f", "--type", "new") as job:
            lines = iter(job.stdout.readline, "")
            assert any(f":{first} " in line for line in lines), "history comes first"
            second = exchange(cart, payment, 4)
            assert any(f":{second} " in line for line in lines), "then what happens"
            job.send_signal(signal.SIGINT)
            equal(job.wait(PATIENCE), 0)


def monitor_outlives_agents(weir, lab, cart, payment):
    with claim("monitor goes on when an agent that was killed or stopped is back"):
        with weir.running("monitor", "--type", "new") as job:
            for how in (signal.SIGKILL, signal.SIGTERM):
                lab.a.stop(how)
                assert "its flows go on when it is back" in job.stderr.readline()
                lab.a.start()
                back = threading.Event()

                def connections(back=back):
                    while not back.is_set():
                        exchange(cart, payment, 4)
                talk = threading.Thread(target=connections, daemon=True)
                talk.start()
                assert any(line.split()[1] == "a" for line in iter(job.stdout.readline, ""))
                back.set()
                talk.join(PATIENCE)
    with claim("monitor shows the other nodes while an agent is away"):
        lab.a.stop(signal.SIGKILL)
        with weir.running("monitor", "--last", 10000, "-f", "--type", "new") as job:
            assert " b " in job.stdout.readline()
        lab.a.start()


def filters(weir, cart, payment):
    port = exchange(cart, payment, 4)
    until(lambda: len(types(weir.flows("--port", port), "a")) == 3, "the connection's end")
    everything = [("--port", port)]
    cases = [
        (("--pod", "lab/cart"), True), (("--pod", "lab/other"), False),
        (("-n", "lab"), True), (("-n", "shop"), False),
        (("--address", cart.address[4]), True), (("--address", "10.244.1.0/24"), True),
        (("--address", "10.9.0.0/16"), False), (("--protocol", "tcp"), True),
        (("--protocol", "UDP"), False), (("--verdict", "forwarded"), True),
        (("--verdict", "dropped"), False), (("--reason", "SPOOFED"), False),
        (("--type", "closed"), True), (("--pod", "lab/other", "--pod", "lab/payment"), True),
    ]
    with claim(f"{len(cases)} filters let through what they say"):
        for words, some in cases:
            seen = weir.flows(*everything[0], *words)
            equal(bool(seen), some, words)
    with claim("a wrong filter is refused by its name"):
        said = weir("monitor", "--port", "http", code=(2,)).stderr
        assert said.startswith("weir: --port: 'http' is not a port"), said


def drops(weir, lab, cart, payment):
    with claim("a drop says why, where and who"):
        lib_net.send_frame(cart, lib_net.frame(4, lib_net.udp_packet(4, SPOOFED,
                                                                     payment.address[4])))
        drop = until(lambda: weir.flows("--reason", "spoofed", "--address", SPOOFED),
                     "the drop to be told")[0]
        equal(drop["type"], "dropped")
        equal(drop["verdict"], "dropped")
        equal(drop["hook"], "from_pod")
        equal(drop["destination"]["pod"], "payment")
        equal(drop["sent_by"]["pod"], "cart")
        assert drop["drop_reason"]["text"], drop
        text = weir("monitor", "--last", 1, "--verdict", "dropped", "--address", SPOOFED).stdout
        assert "✗ dropped" in text and "(SPOOFED, at from_pod)" in text, text
    with claim("status and metrics count it"):
        status = json.loads(weir("status", "-o", "json", "--node", "a").stdout)[0]
        hook = next(one for one in status["hooks"] if one["hook"] == "from_pod")
        assert any(one["reason"] == "SPOOFED" and one["packets"] for one in hook["drops"]), hook
        text = lib_net.http_get(lab.a.run_dir / "agent.sock", "/metrics")
        assert 'weir_drops_total{hook="from_pod",reason="SPOOFED"} ' in text, text
    with claim("multicast on a pod's link is shown with --all only"):
        packet = lib_net.udp_packet(4, cart.address[4], "224.0.0.251")
        multicast = bytes.fromhex("01005e0000fb")
        lib_net.send_frame(cart, lib_net.frame(4, packet, destination=multicast))
        until(lambda: weir.flows("--all", "--reason", "LINK_MULTICAST", "--address",
                                 "224.0.0.251"), "the drop to be told")
        equal(weir.flows("--address", "224.0.0.251"), [])


@contextlib.contextmanager
def talking(client, address):
    """Datagrams, one after another, while the body runs."""
    over = threading.Event()
    with lib_net.datagrams(client, 4) as sock:
        def talk():
            while not over.is_set():
                sock.sendto(b"talk", (address, PORT))
        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def captures(weir, lab, cart, payment):
    if not shutil.which("tshark"):
        print("no tshark: captures are not read")
        return
    file = lab.folder / "cart.pcapng"
    with claim("a capture is bounded, filtered, and read by tshark with names and verdicts"):
        with weir.running("capture", "--pod", "lab/cart", "--port", PORT, "--packets", 4, "-w",
                          file) as job:
            until(lambda: exchange(cart, payment, 4) and job.poll() is not None, "four packets")
            equal(job.returncode, 0, job.stderr.read())
        fields = ["-e", "frame.interface_name", "-e", "ip.src", "-e", "tcp.port", "-e",
                  "frame.comment"]
        seen = lib_net.run("tshark", "-n", "-r", file, "-T", "fields", *fields).stdout.splitlines()
        equal(len(seen), 4, seen)
        for line in seen:
            assert str(PORT) in line and "lab/cart" in line and "lab/payment" in line, line
        assert any("from_pod forwarded: tunnel" in line for line in seen), seen
    with claim("captures of several nodes come as one file"):
        file = lab.folder / "both.pcapng"
        with weir.running("capture", "--tuple", f">{payment.address[4]}:{PORT}/tcp", "--packets",
                          40, "-w", file) as job:
            until(lambda: exchange(cart, payment, 4) and job.poll() is not None, "forty packets")
            equal(job.returncode, 0, job.stderr.read())
        seen = lib_net.run("tshark", "-n", "-r", file, "-T", "fields", "-e",
                           "frame.interface_name").stdout
        assert "from_pod" in seen and "from_net" in seen, seen
    with claim("a capture without packets says so, also after one that left some, and is a file"):
        with talking(cart, payment.address[4]):
            weir("capture", "--pod", "lab/cart", "--packets", 1, "-w", file)
        said = weir("capture", "--address", "203.0.113.9", "--seconds", 1, "-w", file, code=(3,))
        assert "no packet matched" in said.stderr, said.stderr
        equal(lib_net.run("tshark", "-n", "-r", file).stdout, "")
    with claim("a capture of a pod that is not there is refused"):
        said = weir("capture", "--pod", "lab/none", "-w", file, code=(3,)).stderr
        assert "no pod lab/none" in said, said
    file.unlink()
    with claim("a second capture is refused, and leaves the file it would write as it was"):
        kept = lab.folder / "kept.pcapng"
        kept.write_text("mine")
        with weir.running("capture", "--node", "a", "--seconds", 60, "-w", file) as job:
            until(lambda: file.exists() or job.poll() is not None, "a capture to begin")
            said = weir("capture", "--node", "a", "--seconds", 1, "-w", kept, code=(1,)).stderr
        assert "another capture is running" in said, said
        equal(kept.read_text(), "mine")


def adds_up(hook):
    dropped = sum(drop["packets"] for drop in hook["drops"])
    return hook["packets_in"] == hook["forwarded"] + hook["to_stack"] + dropped


def other_verbs(weir, lab):
    with claim("status, endpoints and version, text and JSON"):
        for node in ("a", "b"):
            assert f"node {node}\n" in weir("status").stdout
        equal([one["node"] for one in json.loads(weir("status", "-o", "json").stdout)], ["a", "b"])
        pods = json.loads(weir("endpoints", "-o", "json").stdout)
        equal([(one["pod"], one["node"]) for one in pods], [("cart", "a"), ("payment", "b")])
        text = weir("endpoints", "-n", "lab").stdout
        assert pods[0]["addresses"][0] in text, text
        versions = json.loads(weir("version", "-o", "json").stdout)
        equal([one["node"] for one in versions["agents"]], ["a", "b"])
    with claim("packets in are forwarded, to the stack, or dropped"):
        for node in lab.nodes:
            until(lambda: all(map(adds_up, node.status()["hooks"])),  # counters are read one by one
                  f"the packets of {node.node} to add up")
    with claim("without an agent there is one clear error, and status 3"):
        done = subprocess.run([BIN / "weir", "status", "--name", "nobody"], text=True,
                              capture_output=True, check=False)
        equal(done.returncode, 3)
        assert "weir up --name nobody" in done.stderr, done.stderr


def main():
    lib_lab.begin()
    if not (BIN / "weir").exists():
        print(f"skipped: {BIN / 'weir'} is not built")
        sys.exit(lib_lab.SKIP)
    lab = lib_lab.Lab()
    weir = Weir(lab)
    cart, payment = lab.pod(lab.a, "cart"), lab.pod(lab.b, "payment")
    monitor_tells_connections(weir, cart, payment)
    monitor_reads_like_a_sentence(weir, cart, payment)
    monitor_follows(weir, cart, payment)
    monitor_outlives_agents(weir, lab, cart, payment)
    filters(weir, cart, payment)
    drops(weir, lab, cart, payment)
    captures(weir, lab, cart, payment)
    other_verbs(weir, lab)
    lib_lab.finish(least=17)


main()
