"""Tests that are programs: exit status 0 passed, 77 skipped (last line: why), else failed."""

import concurrent.futures
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import leaks
import processes
from result import FAILED, PASSED, SKIPPED, Result

SKIP_STATUS = 77
SANITIZER_LOG = "sanitizer"  # and the process's number, in WEIR_TMP
SCRIPT_SECONDS = 300
LINT_SECONDS = 1200
PATIENCE_SECONDS = 5  # for what the kernel frees a moment after its last user


def run_lints(scripts, root):
    """All at once, as many as there are processors: a lint changes nothing."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda script: run_lint(script, root), scripts)


def run_lint(script, root):
    started = time.monotonic()
    done = subprocess.run([str(script)], cwd=root, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=LINT_SECONDS, check=False)
    status = {0: PASSED, SKIP_STATUS: SKIPPED}.get(done.returncode, FAILED)
    name = str(script.relative_to(root))
    return Result(name, status, time.monotonic() - started, done.stdout)


def run_commands(commands, root, logs, seconds, preset="release"):
    """{name: command}, one after another, each for at most so many seconds; each must leave the machine
    as it found it."""
    for name, command in commands.items():
        print(f"  {name} ...", end="", flush=True)
        result = run_command(name, command, root, logs, seconds, preset)
        print(f" {result.status} ({result.seconds:.1f} s)", flush=True)
        yield result


def run_command(name, command, root, logs, limit, preset):
    log_path = logs / (name.replace("/", "_") + ".log")
    folder = tempfile.mkdtemp(prefix="weir-test.")
    before = leaks.picture()
    started = time.monotonic()
    try:
        with open(log_path, "w") as log:
            status = processes.run([str(word) for word in command], log, limit,
                                   environment(root, folder, preset), root)
        seconds = time.monotonic() - started
        leaked = what_is_left(before) + sanitizers_said(folder)
    finally:
        processes.kill_leftovers()
        shutil.rmtree(folder, ignore_errors=True)
    output = log_path.read_text(errors="replace")
    if status is None:
        output += f"\nstill running after {limit} s: ended"
    verdict = {0: PASSED, SKIP_STATUS: SKIPPED}.get(status, FAILED)
    if leaked:
        verdict, output = FAILED, "\n".join([output.rstrip(), *leaked])
    return Result(name, verdict, seconds, output, str(log_path))


def what_is_left(before):
    alive = processes.leftovers(PATIENCE_SECONDS)
    return [f"left behind: process {pid} {command}" for pid, command in alive] + \
        leaks.compare(before, PATIENCE_SECONDS)


def environment(root, folder, preset):
    """What a script may rely on; docs/testing.md tells it."""
    build = root / "build" / preset
    bin_folder = build / "bin"
    # Also of programs whose output nobody reads. Leaks are for unit tests to find: the search for them
    # hangs in what `weir exec` has put into a pod's PID namespace.
    sanitizer = f"log_path={folder}/{SANITIZER_LOG}:print_stacktrace=1:detect_leaks=0"
    return dict(os.environ, WEIR_ROOT=str(root), WEIR_BUILD=str(build), WEIR_BIN=str(bin_folder),
                WEIR_TMP=folder,
                PATH=f"{bin_folder}:{os.environ['PATH']}:/usr/sbin:/sbin",
                **dict.fromkeys(("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"), sanitizer))


def sanitizers_said(folder):
    return [f"a sanitizer said: {line}" for path in sorted(Path(folder).glob(f"{SANITIZER_LOG}.*"))
            for line in path.read_text(errors="replace").splitlines() if line.strip()]
