"""What a test came to, and how results are shown."""

import dataclasses
import time

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
SHOWN_LINES = 120  # of a failing test's output


@dataclasses.dataclass
class Result:
    name: str
    status: str
    seconds: float = 0.0
    output: str = ""  # shown when failed; its last line is the reason when skipped
    log: str = ""     # where the whole output is


def show(result):
    """Prints what a reader must know: failures with their output, skips with their reason."""
    if result.status == FAILED:
        lines = result.output.rstrip().splitlines()
        print(f"FAILED {result.name} ({result.seconds:.1f} s)")
        if len(lines) > SHOWN_LINES:
            print(f"  | ... {len(lines) - SHOWN_LINES} lines before")
        for line in lines[-SHOWN_LINES:]:
            print(f"  | {line}")
        if result.log:
            print(f"  the whole output: {result.log}")
    elif result.status == SKIPPED:
        print(f"skipped {result.name}: {reason(result.output)}")


def reason(output):
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


class Tally:
    """Counts the results of all kinds."""

    def __init__(self):
        self.results = []
        self.started = time.monotonic()

    def add(self, kind, results, seconds):
        self.results += results
        if results:
            print(f"{kind}: {counts(results)} ({seconds:.0f} s)", flush=True)

    def failed(self):
        return any(result.status == FAILED for result in self.results)

    def summary(self):
        """The last line of ./test, alone and always in this form."""
        return counts(self.results)


def counts(results):
    def number(status):
        return sum(result.status == status for result in results)
    return f"{number(PASSED)} passed, {number(FAILED)} failed, {number(SKIPPED)} skipped"
