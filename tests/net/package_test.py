#!/usr/bin/env -S python3 -B
"""The Debian package on this machine, in a root file system of its own above this one's: what it brings
works, an update keeps the settings, and removing it leaves nothing."""

import subprocess
import sys
import tempfile
from pathlib import Path

import lib_lab
from lib_lab import ROOT, claim, equal
from lib_net import run

CLAIMS = 6
ENTER = """
set -eu
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay "$0/root" -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work"
cd "$0/root"
mount -t proc proc proc
mount --bind /dev dev
mount -t tmpfs tmpfs run
echo entered
exec chroot . sh
"""


class Machine:
    """A shell in a file system of its own; what it changes ends with it."""

    def __init__(self, folder):
        self.shell = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        equal(self.shell.stdout.readline(), "entered\n")

    def __call__(self, command, status=0):
        """What it prints."""
        self.shell.stdin.write(f"( {command}\n) 2>&1 </dev/null; printf '\\nended %s\\n' $?\n")
        self.shell.stdin.flush()
        said = ""
        while not (line := self.shell.stdout.readline()).startswith("ended "):
            assert line, f"the shell ended: {said}"
            said += line
        equal(int(line.split()[1]), status, f"{command}: {said}")
        return said[:-1]

    def has(self, path):
        return self(f"test -e '{path}' -o -L '{path}' && echo yes || echo no").strip() == "yes"

    def end(self):
        self.shell.stdin.close()
        self.shell.wait(20)
        self.shell.stdout.close()


def works(machine):
    with claim("the programs run, also as a plugin of kubectl and as one of CNI"):
        version = machine("weir --version").strip()
        assert "0." in version, version
        equal(machine("kubectl-weir --version").strip(), version)
        equal(machine("weir-agent --version").strip(), version.replace("weir", "weir-agent"))
        said = machine("echo '{\"cniVersion\": \"1.0.0\"}' | CNI_COMMAND=VERSION /usr/lib/cni/weir-cni")
        assert '"1.1.0"' in said, said
    with claim("each verb has a manual page, and the shells complete them"):
        for page in ("man1/weir.1", "man1/weir-monitor.1", "man8/weir-agent.8"):
            text = machine(f"gzip -dc /usr/share/man/{page}.gz")
            assert ".SH" in text and len(text) > 500, page
        said = machine("bash -c '. /usr/share/bash-completion/completions/weir; complete -p weir'")
        assert said.startswith("complete "), said
    with claim("systemd has no complaint about the unit"):
        said = machine("systemd-analyze verify /lib/systemd/system/weir-agent.service")
        assert "weir-agent" not in said, said


def main():
    lib_lab.begin()
    run(ROOT / "package", "deb", timeout=300)
    package, = (ROOT / "build/package").glob("weir_*.deb")
    with tempfile.TemporaryDirectory(prefix="weirdeb.") as folder:
        machine = Machine(folder)
        with claim("dpkg installs it"):
            machine(f"dpkg --install '{package}'")
            files = [path for path in machine("dpkg --listfiles weir").splitlines()
                     if "weir" in Path(path).name]
            assert len(files) > 20, files
        works(machine)
        with claim("an update keeps the settings"):
            machine("echo false > /etc/weir/tunnel")
            machine(f"dpkg --install '{package}'")
            equal(machine("cat /etc/weir/tunnel"), "false\n")
        with claim("what is purged leaves nothing but the settings of its user"):
            machine("dpkg --purge weir")
            equal([path for path in files if machine.has(path)], ["/etc/weir"])
        machine.end()
    lib_lab.finish(CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
