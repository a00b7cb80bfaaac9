"""kill -9 of a process between two of its system calls, by tests/cni/kill_at.cc."""

import os
import select

from lib_lab import BIN, equal

KILL_AT = BIN.parent / "tests" / "kill_at"


class Killer:
    """kill_at, and what it reports. Given to a process by `words` and `options`."""

    def __init__(self, point, begin, *words):
        reading, self.writing = os.pipe()
        self.words = [str(word) for word in (KILL_AT, self.writing, point, begin, *words)]
        self.options = {"pass_fds": [self.writing]}
        self.report = os.fdopen(reading)

    def given(self):
        os.close(self.writing)
        equal(self.report.readline(), "ready\n")

    def ended(self):
        """There is a result."""
        return bool(select.select([self.report], [], [], 0)[0])

    def result(self):
        """Did it kill; how many system calls there were by then."""
        with self.report:
            word, count, *_ = self.report.readline().split()
        return word == "killed", int(count)
