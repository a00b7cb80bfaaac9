"""./test [KIND [PATTERN]]: runs the tests of all kinds, or of one; PATTERN is a regular expression
that the test's name must contain. KIND: lint, unit, compile, packet, net, sanitized (some of net by a
build with ASan and UBSan), threads (by one with TSan), cluster, fuzz; and three that only run when they
are named, for they take ten minutes and more: tidy (clang-tidy), soak (a busy day of a node) and
conformance (upstream's tests of a cluster).

The last line is `N passed, N failed, N skipped`; the exit status is 0 when none failed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import behind
import ctest
import leaks
import processes
import rooms
import scripts
from result import FAILED, SKIPPED, Result, Tally, show

ROOT = Path(__file__).resolve().parent.parent.parent
CLUSTER = ROOT / "tests" / "cluster"
LOGS = ROOT / "build" / "logs"
KINDS = ("lint", "unit", "compile", "packet", "net", "sanitized", "threads", "cluster", "fuzz")
NAMED_KINDS = (*KINDS, "tidy", "soak", "conformance")
MOSTLY_WAIT = ("net", "sanitized", "threads", "cluster")  # ./test alone runs the fuzzers behind them
GOOGLE_TESTS = ("unit", "compile", "packet", "net", "fuzz")
PROGRAMS = ("net", "cluster", "soak")
LONG_SECONDS = 1200  # for one program
# Those of net that lead through all of the agent and the plugin in little time.
SOME_OF_NET = {
    "sanitized": ("api_source_random", "cni_bad_input", "cni_life", "matrix", "observe_monitor", "path",
                  "restart", "services_host_port", "services_socket", "sysctls"),
    "threads": ("cni_life", "restart"),
}
SHORT_CLUSTER = "pods_test|restart_test"  # what ./test alone runs of them, in less than six minutes
# kind -> preset and targets that must be built for it
BUILDS = {
    "lint": ("dev", ["skeletons"]),
    "tidy": ("dev", ["skeletons"]),
    "unit": ("dev", ["tests_unit"]),
    "compile": ("dev", ["tests_compile"]),
    "packet": ("release", ["tests_packet"]),
    "net": ("release", ["programs", "tests_net"]),
    "sanitized": ("dev", ["programs", "tests_net"]),
    "threads": ("tsan", ["weir-agent", "weir-cni", "weir", "cni_node"]),
    "cluster": ("release", ["programs"]),
    "conformance": ("release", ["programs"]),
    "soak": ("release", ["programs"]),
    "fuzz": ("fuzz", ["tests_fuzz"]),
}


def main():
    arguments = sys.argv[1:]
    if len(arguments) > 2 or (arguments and arguments[0] not in NAMED_KINDS):
        print(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    kinds = arguments[:1] or kinds_here()
    pattern = arguments[1] if len(arguments) == 2 else ""
    patterns = dict.fromkeys(kinds, pattern) if arguments else {"cluster": SHORT_CLUSTER}
    processes.become_subreaper()
    before = leaks.picture()
    tally = Tally()
    fuzzers = None
    try:
        for kind in kinds:
            if fuzzers is None and not arguments and kind in MOSTLY_WAIT:
                fuzzers = behind_them(tally)
            if kind == "fuzz" and fuzzers:
                fuzzers.tell(tally)
            else:
                run_kind(kind, patterns.get(kind, ""), tally,
                         but=behind.PACKET_FUZZERS if kind == "packet" and not arguments else None)
    except KeyboardInterrupt:
        if fuzzers:
            fuzzers.end()
        interrupted(before)
        return 130
    if not arguments:
        tally.add("cluster", [left_out("cluster" in kinds)], 0)
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


def behind_them(tally):
    """The fuzzers, begun; None when they cannot be built, which `fuzz` then tells."""
    if build("fuzz"):
        return None
    return behind.Behind(ROOT, LOGS)


def run_kind(kind, pattern, tally, but=None):
    started = time.monotonic()
    results = []
    broken = build(kind)
    for result in [broken] if broken else tests_of(kind, pattern, but):
        show(result)
        results.append(result)
    tally.add(kind, results, time.monotonic() - started)


def kinds_here():
    """All, but for what a first ./test shall not wait for: Kubernetes is built when it is asked for."""
    built = subprocess.run([CLUSTER / "build", "--check"], check=False, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    return [kind for kind in KINDS if built or kind != "cluster"]


def left_out(is_built):
    """Of the tests in a real cluster."""
    why = (f"only {SHORT_CLUSTER} are run by ./test alone; ./test cluster has them all" if is_built
           else "Kubernetes is not built here yet; ./test cluster builds it, with Go, in ten minutes "
           "of CPU time")
    result = Result("tests/cluster", SKIPPED, output=why)
    show(result)
    return result


def build(kind):
    """None, or the failure to build what the kind needs."""
    if kind not in BUILDS:
        return None
    preset, targets = BUILDS[kind]
    commands = [[ROOT / "tools" / "build", preset, *targets]]
    if kind in ("cluster", "conformance"):
        commands += [[ROOT / "package", "image"],
                     [CLUSTER / "build", *(["e2e"] if kind == "conformance" else [])]]
    for command in commands:
        if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
            return Result(f"build of {kind}", FAILED)
    return None


def tests_of(kind, pattern, but):
    """The results of a kind's tests, one by one."""
    if kind in ("lint", "tidy"):
        yield from scripts.run_lints(chosen(lints(kind), pattern), ROOT)
        return
    if kind in GOOGLE_TESTS:
        yield from ctest.run(kind, pattern, ROOT / "build" / BUILDS[kind][0], os.cpu_count(), but=but)
    LOGS.mkdir(parents=True, exist_ok=True)
    in_rooms = kind == "net" or kind in SOME_OF_NET
    seconds = scripts.SCRIPT_SECONDS if in_rooms else LONG_SECONDS
    commands = {name: command for name, command in programs(kind).items()
                if re.search(pattern, name)}
    if in_rooms and os.geteuid() == 0:
        yield from side_by_side(commands, seconds, BUILDS[kind][0])
    else:
        yield from scripts.run_commands(commands, ROOT, LOGS, seconds)


def side_by_side(commands, seconds, preset):
    before = leaks.picture()
    yield from rooms.run_commands(commands, ROOT, LOGS, seconds, os.cpu_count(), preset)
    if left := leaks.compare(before, scripts.PATIENCE_SECONDS):
        yield Result("what these tests leave on the machine", FAILED, output="\n".join(left))


def programs(kind):
    """{name: command} of a kind's tests that are programs."""
    if kind == "conformance":
        return {f"conformance/{families}": [CLUSTER / "conformance", "run", "conformance", families]
                for families in ("ipv4", "ipv6", "dual")}
    if kind in SOME_OF_NET:
        return {f"{kind}/{name}_test.py": [ROOT / "tests" / "net" / f"{name}_test.py"]
                for name in SOME_OF_NET[kind]}
    paths = (ROOT / "tests" / kind).glob("*_test.*") if kind in PROGRAMS else ()
    return {str(path.relative_to(ROOT)): [path] for path in sorted(paths)
            if path.suffix in (".sh", ".py") and os.access(path, os.X_OK)}


def lints(kind):
    tidy = ROOT / "tools" / "check_tidy"
    if kind == "tidy":
        return [tidy]
    return sorted({*ROOT.glob("tools/check_*"), *ROOT.glob("tools/tests/*_test.*")} - {tidy})


def chosen(paths, pattern):
    return [path for path in paths if re.search(pattern, str(path.relative_to(ROOT)))
            and os.access(path, os.X_OK)]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_sigterm)
    # Background jobs of scripts ignore it, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
