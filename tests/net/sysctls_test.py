#!/usr/bin/env -S python3 -B
"""What an agent sets in its node for itself and for the node's user, and that all of it comes back: when
it is not wanted any more, after a kill, and by --remove. What it cannot set is refused by name."""

import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cni"))
import bed
import lib_lab
from lib_lab import claim, equal

CLAIMS = 7
WANTED = {"net.ipv4.ip_local_reserved_ports": "30000-32767,61000-65535",
          "net.ipv4.tcp_rmem": "4096\t131072\t4194304", "net.ipv4.conf.up0.rp_filter": "2"}
OWN = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.up0.accept_local",
       "net.ipv4.conf.late0.accept_local")


class Node(bed.Node):
    flags = ()

    def __init__(self):
        super().__init__()
        self.bpffs /= "weir"  # which --remove removes

    def command(self):
        return [*super().command(), *self.flags]

    def run_with(self, *flags):
        self.stop()
        self.flags = flags
        self.start()

    def values(self, names):
        return {name: self.netns.do("cat", "/proc/sys/" + name.replace(".", "/")).stdout.strip()
                for name in names}

    def once(self, *flags):
        """(status, what is said) of an agent that ends by itself."""
        self.flags = flags
        words = ["nsenter", f"--net={self.netns.path}", *self.command()]
        done = subprocess.run(list(map(str, words)), text=True, stdin=subprocess.DEVNULL, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout

    def refuses(self, wanted, *texts):
        status, said = self.once("--sysctl", wanted)
        assert status != 0 and any(text in said for text in texts), said


def flags(wanted):
    return [word for name, value in wanted.items() for word in ("--sysctl", f"{name}={value}")]


def main():
    lib_lab.begin()
    node = Node()
    node.netns.do("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
    before = node.values((*WANTED, *OWN))

    def are(wanted):
        equal(node.values(WANTED), {name: wanted.get(name, before[name]) for name in WANTED})

    with claim("what the node's user wants is set"):
        node.run_with(*flags(WANTED))
        are(WANTED)
    with claim("what is not wanted any more is as it was, the rest stays; also after a kill"):
        node.stop(signal.SIGKILL)
        kept = {"net.ipv4.tcp_rmem": WANTED["net.ipv4.tcp_rmem"]}
        node.run_with(*flags(kept))
        are(kept)
    with claim("of two values one after the other, neither is taken for what was before"):
        node.run_with("--sysctl", "net.ipv4.tcp_rmem=4096 65536 2097152")
        are({"net.ipv4.tcp_rmem": "4096\t65536\t2097152"})
        node.run_with()
        are({})
    with claim("a link that comes later is changed as the others are"):
        node.run_with("--device", "late0", *flags(WANTED))
        equal(node.values(OWN), dict.fromkeys(OWN, "1"))
        node.stop()
    with claim("names that are not there, not of the network, or Weir's own are refused"):
        node.refuses("net.ipv4.nonsense=1", "--sysctl net/ipv4/nonsense: this kernel has none")
        node.refuses("kernel.panic=1", "'kernel.panic' is no name below net.")
        node.refuses("net.ipv4.ip_forward=0", "Weir sets net.ipv4.ip_forward as it needs it")
    with claim("a value that the kernel does not take is named"):
        node.refuses("net.ipv4.tcp_rmem=lots", "--sysctl net/ipv4/tcp_rmem=lots: ")
    with claim("--remove leaves all as it was"):
        node.run_with(*flags(WANTED))
        are(WANTED)
        node.stop()
        status, said = node.once("--remove")
        equal(status, 0, said)
        equal(node.values((*WANTED, *OWN)), before)
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
