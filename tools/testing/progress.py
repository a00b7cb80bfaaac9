"""One line that tells how far a step is: rewritten on a terminal, now and then elsewhere."""

import shutil
import sys
import time

QUIET_SECONDS = 10  # between two lines where there is no terminal


class Progress:
    def __init__(self, step):
        self.step = step
        self.started = self.shown = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def seconds(self):
        return time.monotonic() - self.started

    def show(self, text):
        now = time.monotonic()
        if not self.terminal and now - self.shown < QUIET_SECONDS:
            return
        self.shown = now
        line = f"{self.step} [{self.seconds():3.0f} s] {text}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="", flush=True)
        else:
            print(line, flush=True)

    def end(self, text):
        clear = "\r\033[K" if self.terminal else ""
        print(f"{clear}{self.step} [{self.seconds():3.0f} s] {text}", flush=True)
