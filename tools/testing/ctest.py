"""GoogleTest cases by ctest, which knows them by label."""

import subprocess
import sys
import time
import xml.etree.ElementTree

from progress import Progress
from result import FAILED, PASSED, SKIPPED, Result


def run(label, pattern, folder, jobs, but=None, show=True):
    """Runs the cases with this label in the build folder, `but` those of that pattern. Returns their
    results."""
    name = label if show else f"{label}.behind"
    report = folder / f"{name}.junit.xml"
    report.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", str(folder), "-L", f"^{label}$", "-j", str(jobs),
               "--output-junit", str(report), "--no-tests=ignore", "--timeout", "300"]
    if pattern:
        command += ["-R", pattern]
    if but:
        command += ["-E", but]
    started = time.monotonic()
    with open(folder / f"{name}.log", "w") as log:
        follow(command, log, Progress(label) if show else None)
    log = str(folder / f"{name}.log")
    if not report.exists():
        text = (folder / f"{name}.log").read_text(errors="replace")
        return [Result(f"ctest {label}", FAILED, time.monotonic() - started, text, log)]
    return [read(case, log) for case in
            xml.etree.ElementTree.parse(report).getroot().iter("testcase")]


def follow(command, log, progress):
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as job:
        for line in job.stdout:
            log.write(line)
            if progress and " Test " in line and ": " in line:
                progress.show(line.strip())
    if progress and sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)


def read(case, log):
    """One <testcase>: status run, fail, or notrun and disabled, which is a skip."""
    output = case.findtext("system-out") or ""
    failure = case.find("failure")
    if failure is not None or case.get("status") == "fail":
        status = FAILED
        output = output or failure.get("message", "")
    elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        status, output = SKIPPED, skip_reason(output)
    else:
        status = PASSED
    return Result(case.get("name"), status, float(case.get("time") or 0), output, log)


def skip_reason(output):
    """GoogleTest prints `file:line: Skipped`, then what the test said."""
    lines = [line.strip() for line in output.splitlines()]
    for number, line in enumerate(lines):
        if line.endswith("Skipped"):
            return next((text for text in lines[number + 1:] if text), "no reason given")
    return output
