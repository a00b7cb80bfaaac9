"""Test programs side by side. Each room has mounts, a network and a cgroup v2 of its own, so that what
two tests do to "the machine" meets in the hardware and the kernel's own knobs only.

As a program, it is such a room: reads {name, command, limit, preset} from its input, a line each, and
answers with the result."""

import collections
import contextlib
import dataclasses
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import leaks
import processes
import scripts
from result import FAILED, Result

OWN_FOLDERS = ("/run", "/var/lib/weir")
ALONE = re.compile(r"^# alone: \S", re.MULTILINE)  # in a test that needs the machine's whole speed


class Room:
    def __init__(self, number, root, logs):
        self.cgroup = cgroup2() / f"weir-room-{os.getpid()}-{number}"
        self.cgroup.mkdir()
        enter = f'echo $$ >{self.cgroup}/cgroup.procs && exec unshare -m -n -C "$@"'
        self.process = subprocess.Popen(
            ["sh", "-c", enter, "sh", sys.executable, "-B", __file__, self.cgroup, root, logs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, name, command, limit, preset):
        try:
            print(json.dumps({"name": name, "command": [str(word) for word in command],
                              "limit": limit, "preset": preset}), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except (BrokenPipeError, ValueError):  # it has ended, or was closed
            answer = ""
        if not answer:
            return Result(name, FAILED, output="the room it was to run in has ended: needs unshare "
                          "(util-linux) and a kernel with mount, net and cgroup namespaces")
        return Result(**json.loads(answer))

    def close(self):
        """Waits until what was in it is gone."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=processes.GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        deadline = time.monotonic() + scripts.PATIENCE_SECONDS
        while not remove_cgroups(self.cgroup):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.cgroup} has processes that do not end")
            time.sleep(0.02)


def remove_cgroups(top):
    """Also what tests have left below it, which is told with them. Whether it is gone."""
    try:
        for folder, _, _ in os.walk(top, topdown=False):
            os.rmdir(folder)
    except OSError:  # a process in it ends just now
        return False
    return True


def cgroup2():
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return Path(next(words[1] for words in mounts if words[2] == "cgroup2"))


def run_commands(commands, root, logs, seconds, count, preset="release"):
    """{name: command}, `count` at a time, the longest of last time first; those that must be alone come
    last. Yields results as they end."""
    last = LastTime(logs / "seconds.json")
    names = sorted(commands, key=last.seconds, reverse=True)
    alone = [name for name in names if ALONE.search(Path(commands[name][0]).read_text())]
    together = [name for name in names if name not in alone]
    for folder in OWN_FOLDERS:  # to mount there
        Path(folder).mkdir(parents=True, exist_ok=True)
    rooms = []
    try:
        rooms += [Room(number, root, logs) for number in range(min(count, len(names)))]
        for batch, used in ((together, rooms), (alone, rooms[:1])):
            for result in run_batch(batch, commands, used, seconds, preset):
                print(f"  {result.name} ... {result.status} ({result.seconds:.1f} s)", flush=True)
                last.note(result)
                yield result
    finally:
        for room in rooms:
            room.close()
        for folder in OWN_FOLDERS:
            with contextlib.suppress(OSError):  # in use
                os.rmdir(folder)


def run_batch(names, commands, rooms, seconds, preset):
    todo = collections.deque(names)
    done = queue.SimpleQueue()

    def work(room):
        while True:
            try:
                name = todo.popleft()
            except IndexError:
                return
            done.put(room.run(name, commands[name], seconds, preset))
    for room in rooms:
        threading.Thread(target=work, args=(room,), daemon=True).start()
    for _ in names:
        yield done.get()


class LastTime:
    """How long each test took, kept from run to run."""

    def __init__(self, path):
        self.path = path
        try:
            self.known = json.loads(path.read_text())
        except (OSError, ValueError):
            self.known = {}

    def seconds(self, name):
        return self.known.get(name, 0)

    def note(self, result):
        self.known[result.name] = round(result.seconds, 1)
        self.path.write_text(json.dumps(self.known, indent=1))


def furnish(cgroup):
    """This process has namespaces of its own: makes them a machine's."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for folder in OWN_FOLDERS:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "room", folder], check=True)
    for folder in ("/run/lock", "/run/netns", "/run/weir"):
        Path(folder).mkdir()
    for folder in filter(os.path.isdir, leaks.bpffs()):  # those below /run are hidden now
        subprocess.run(["mount", "-t", "bpf", "room", folder], check=True)
    subprocess.run(["mount", "--bind", cgroup, cgroup2()], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main():
    cgroup, root, logs = map(Path, sys.argv[1:])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes.become_subreaper()
    furnish(cgroup)
    try:
        for line in sys.stdin:
            order = json.loads(line)
            result = scripts.run_command(order["name"], order["command"], root, logs, order["limit"],
                                         order["preset"])
            print(json.dumps(dataclasses.asdict(result)), file=answers, flush=True)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
