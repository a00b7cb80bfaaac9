"""./test [KIND [PATTERN]]: runs the tests of all kinds, or of one; PATTERN is a regular expression
that the test's name must contain. KIND: lint, unit, compile, packet, net, fuzz; and tidy, which only
runs when it is named: clang-tidy takes a quarter of an hour on two cores.

The last line is `N passed, N failed, N skipped`; the exit status is 0 when none failed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import ctest
import leaks
import processes
import scripts
from result import FAILED, Result, Tally, show

ROOT = Path(__file__).resolve().parent.parent.parent
KINDS = ("lint", "unit", "compile", "packet", "net", "fuzz")
NAMED_KINDS = (*KINDS, "tidy")
# kind -> preset and targets that must be built for it
BUILDS = {
    "lint": ("dev", ["skeletons"]),
    "tidy": ("dev", ["skeletons"]),
    "unit": ("dev", ["tests_unit"]),
    "compile": ("dev", ["tests_compile"]),
    "packet": ("release", ["tests_packet"]),
    "net": ("release", ["programs", "tests_net"]),
    "fuzz": ("fuzz", ["tests_fuzz"]),
}


def main():
    arguments = sys.argv[1:]
    if len(arguments) > 2 or (arguments and arguments[0] not in NAMED_KINDS):
        print(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    kinds = arguments[:1] or KINDS
    pattern = arguments[1] if len(arguments) == 2 else ""
    processes.become_subreaper()
    before = leaks.picture()
    tally = Tally()
    try:
        for kind in kinds:
            run_kind(kind, pattern, tally)
    except KeyboardInterrupt:
        interrupted(before)
        return 130
    if not tally.results:
        print(f"no test of kind {', '.join(kinds)} matches {pattern!r}")
    print(f"in {time.monotonic() - tally.started:.0f} s")
    print(tally.summary(), flush=True)
    return 1 if tally.failed() or not tally.results else 0


def on_sigterm(_number, _frame):
    """Ends as Ctrl-C does, which a terminal sends to all our processes at once."""
    processes.end_own_session()
    raise KeyboardInterrupt


def interrupted(before):
    processes.kill_leftovers()
    print("\ninterrupted")
    for line in leaks.compare(before, scripts.PATIENCE_SECONDS):
        print(line)


def run_kind(kind, pattern, tally):
    started = time.monotonic()
    results = []
    broken = build(kind)
    for result in [broken] if broken else tests_of(kind, pattern):
        show(result)
        results.append(result)
    tally.add(kind, results, time.monotonic() - started)


def build(kind):
    """None, or the failure to build what the kind needs."""
    if kind not in BUILDS:
        return None
    preset, targets = BUILDS[kind]
    done = subprocess.run([ROOT / "tools" / "build", preset, *targets], check=False,
                          stdin=subprocess.DEVNULL)
    return Result(f"build of {kind}", FAILED) if done.returncode else None


def tests_of(kind, pattern):
    """The results of a kind's tests, one by one."""
    if kind in ("lint", "tidy"):
        yield from scripts.run_lints(chosen(lints(kind), pattern), ROOT)
        return
    preset = BUILDS[kind][0]
    jobs = 1 if kind == "net" else os.cpu_count()
    yield from ctest.run(kind, pattern, ROOT / "build" / preset, jobs)
    if kind == "net":
        logs = ROOT / "build" / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        yield from scripts.run_scripts(chosen(net_scripts(), pattern), ROOT, logs)


def lints(kind):
    tidy = ROOT / "tools" / "check_tidy"
    if kind == "tidy":
        return [tidy]
    return sorted({*ROOT.glob("tools/check_*"), *ROOT.glob("tools/tests/*_test.*")} - {tidy})


def net_scripts():
    return sorted(path for path in (ROOT / "tests" / "net").glob("*_test.*")
                  if path.suffix in (".sh", ".py"))


def chosen(paths, pattern):
    return [path for path in paths if re.search(pattern, str(path.relative_to(ROOT)))
            and os.access(path, os.X_OK)]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_sigterm)
    # Background jobs of scripts ignore it, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
