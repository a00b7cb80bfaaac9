"""Runs a test program so that nothing it starts can outlive it unseen.

The runner is a subreaper: whatever a test starts and abandons becomes the runner's child."""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
apart = set()  # children of the runner that no test has started: they and theirs are not looked at
GRACE_SECONDS = 20  # from SIGTERM, which lets a test clean up, to SIGKILL


def become_subreaper():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(command, log, seconds, environment, cwd):
    """Runs the command in a session of its own, its output to the file log. Returns its exit
    status, None on timeout. An exception (Ctrl-C) ends the command first."""
    job = subprocess.Popen(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                           stderr=subprocess.STDOUT, start_new_session=True)
    try:
        return job.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if job.returncode is None:
            stop(job)


def stop(job):
    """SIGTERM to the test's session, SIGKILL to what is still there after the grace."""
    signal_group(job.pid, signal.SIGTERM)
    try:
        job.wait(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        signal_group(job.pid, signal.SIGKILL)
        job.wait()


def signal_group(pid, number):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def leftovers(patience):
    """Descendants of the runner that are still alive after `patience` seconds: [(pid, command)]."""
    deadline = time.monotonic() + patience
    while True:
        reap()
        alive = descendants(os.getpid())
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)


def end_own_session():
    """SIGTERM to all descendants but the scripts, which have sessions of their own: run() ends
    those."""
    for pid, _name in descendants(os.getpid()):
        try:
            if os.getsid(pid) == os.getsid(0):
                os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


def kill_leftovers():
    for _ in range(100):
        alive = descendants(os.getpid())
        if not alive:
            return
        for pid, _name in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
        reap()


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def descendants(root):
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = parent_of(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        for pid in children.get(todo.pop(), []):
            if pid in apart:
                continue
            found.append((pid, command_of(pid)))
            todo.append(pid)
    return found


def parent_of(entry):
    """The parent's pid; None for what is gone or a zombie."""
    try:
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state == "Z" else int(parent)


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return "?"
