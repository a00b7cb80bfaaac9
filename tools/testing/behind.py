"""Fuzzers, which need time and nothing else, run behind the tests that mostly wait: at idle priority,
so that they take what is left of the processors. As a program it is that process: runs them and
writes their results as JSON."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ctest
import processes
from result import FAILED, Result, show

PACKET_FUZZERS = "/Fuzz[.]"  # of the kind packet, by name


class Behind:
    """REQUIRES: both builds are there."""

    def __init__(self, root, logs):
        logs.mkdir(parents=True, exist_ok=True)
        self.results = logs / "behind.json"
        self.results.unlink(missing_ok=True)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            ["chrt", "--idle", "0", sys.executable, "-B", __file__, root, self.results],
            stdin=subprocess.DEVNULL)
        processes.apart.add(self.process.pid)

    def tell(self, tally):
        """Waits for them; their results, as a kind's."""
        self.process.wait()
        seconds = time.monotonic() - self.started
        try:
            results = [Result(**one) for one in json.loads(self.results.read_text())]
        except (OSError, ValueError) as error:
            results = [Result("fuzzers", FAILED, seconds, f"ended without results: {error}")]
        for result in results:
            show(result)
        tally.add("fuzz", results, seconds)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def main():
    root, results = map(Path, sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes.become_subreaper()
    jobs = os.cpu_count()
    try:
        found = ctest.run("fuzz", "", root / "build/fuzz", jobs, show=False)
        found += ctest.run("packet", PACKET_FUZZERS, root / "build/release", jobs, show=False)
        results.write_text(json.dumps([dataclasses.asdict(one) for one in found]))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        processes.kill_leftovers()


if __name__ == "__main__":
    main()
