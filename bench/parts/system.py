"""Namespaces, processes and files of one benchmark run, and their removal whatever happens."""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

PREFIX = "wb-"
CGROUP_PREFIX = "weir-bench-"
SCRATCH = Path("/run/weir-bench")
TRAFFIC_CPU, OTHER_CPU = 1, 0
_LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """Says what went wrong, for the user."""


def call(*words, **options):
    """Runs a command to its end and gives back what it printed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          check=False, **options)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, words))}: exit {done.returncode}: "
                     f"{(done.stderr or done.stdout).strip()}")
    return done.stdout


class System:
    """Owner of everything a run makes. `with` removes it; leftovers of a killed run go first."""

    def __enter__(self):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self._lock = open(SCRATCH.with_suffix(".lock"), "w", encoding="ascii")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("another bench/run is under way") from None
        self._jobs = []
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupted)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._sweep()
        SCRATCH.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for job in list(self._jobs):
            self.stop(job, signal.SIGKILL)
        self._sweep()
        self._lock.close()
        SCRATCH.with_suffix(".lock").unlink(missing_ok=True)

    def folder(self, name):
        path = SCRATCH / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def start(self, words, space=None, cpu=None, output=subprocess.DEVNULL):
        """A process that lives no longer than this one."""
        def prepare():
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
        words = [str(word) for word in words]
        job = subprocess.Popen(inside(space, words), stdin=subprocess.DEVNULL, stdout=output,
                               stderr=output, preexec_fn=prepare)
        self._jobs.append(job)
        return job

    def stop(self, job, number=signal.SIGTERM):
        if job.poll() is None:
            job.send_signal(number)
        job.wait()
        if job in self._jobs:
            self._jobs.remove(job)

    @staticmethod
    def add_cgroup(name):
        """Its folder in the v2 hierarchy; no controllers."""
        path = cgroup_root() / f"{CGROUP_PREFIX}{name}"
        path.mkdir()
        return path

    @staticmethod
    def enter_cgroup(path):
        """The words that make a command run there."""
        return ["sh", "-c", 'echo 0 >"$0"/cgroup.procs && exec "$@"', str(path)]

    @staticmethod
    def add_space(name):
        call("ip", "netns", "add", PREFIX + name)
        call("ip", "-n", PREFIX + name, "link", "set", "lo", "up")
        return PREFIX + name

    @staticmethod
    def remove_space(name):
        call("ip", "netns", "del", name)

    @staticmethod
    def _sweep():
        for path in sorted(Path("/run/netns").glob(PREFIX + "*")):
            if not path.name.startswith(PREFIX + "t"):  # those are of bench/doubts/big_tcp
                call("ip", "netns", "del", path.name)
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            points = [line.split()[1] for line in mounts]
        for path in sorted(points, reverse=True):
            if path.startswith(f"{SCRATCH}/"):
                call("umount", path)
        shutil.rmtree(SCRATCH, ignore_errors=True)
        for path in cgroup_root().glob(CGROUP_PREFIX + "*"):
            wait_for(f"the end of {path}", lambda path=path: removed(path))


def cgroup_root():
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return Path(next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2"))


def removed(folder):
    """False: there still are processes."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def interrupted(number, _frame):
    raise KeyboardInterrupt(f"signal {number}")


def inside(space, words):
    return ["nsenter", f"--net=/run/netns/{space}", *words] if space else words


def run_in(space, *words, **options):
    return call(*inside(space, [str(word) for word in words]), **options)


def wait_for(what, condition, seconds=10.0, every=0.02):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def json_in(space, *words, **options):
    return json.loads(run_in(space, *words, **options))
