"""build/release/tests/api_follow as a test sees it: what it has been told, compared with a Store."""

import json
import os
import subprocess
import threading
from pathlib import Path

import lib_lab
import lib_net
from lib_api_store import NODE, mark_of
from lib_net import PATIENCE, wait_for

BUILD = Path(os.environ.get("WEIR_BUILD", lib_lab.ROOT / "build" / "release"))
PROGRAM = BUILD / "tests" / "api_follow"
PACE = {"first-retry-ms": 4, "longest-retry-ms": 40, "list-silence-ms": 5000,
        "watch-silence-ms": 5000}


class Follower:
    def __init__(self, *words, prefix=(), **pace):
        pace = {**PACE, **{name.replace("_", "-"): value for name, value in pace.items()}}
        flags = [f"--{name}={value}" for name, value in pace.items()]
        clean = {name: value for name, value in os.environ.items()
                 if "proxy" not in name.lower() and not name.startswith("KUBERNETES_")}
        self.has = {}         # (kind, key): mark
        self.problems = []    # those of now
        self.said = []        # problems and warnings, all there ever were
        self.erased = []
        self.upserts = 0
        self.warnings = 0
        self.synced = 0
        command = [*prefix, str(PROGRAM), "--node", NODE, *map(str, words), *flags]
        self.job = subprocess.Popen(command, text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, env=clean,
                                    preexec_fn=lib_net.die_with_parent)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for text in self.job.stdout:
            self._take(json.loads(text))

    def _take(self, told):
        if "upsert" in told:
            self.has[told["upsert"], told["key"]] = mark_of(told["object"])
            self.upserts += 1
        elif "erase" in told:
            key = told["erase"], told["key"]
            self.has.pop(key, None)
            self.erased.append(key)
        elif "synced" in told:
            self.synced += 1
        elif "warning" in told:
            self.said.append(told["warning"])
            self.warnings += 1
        else:
            self.problems = told["problems"]
            self.said += self.problems

    def has_synced(self):
        try:
            wait_for(lambda: self.synced, "the first complete list")
        except AssertionError as error:
            error.add_note(f"said {self.said}")
            raise
        return self

    def catches_up(self, cluster, patience=PATIENCE):
        """REQUIRES: the cluster's objects stay as they are."""
        wanted = cluster.wanted()
        try:
            wait_for(lambda: dict(self.has) == wanted, "the follower to have it all", patience)
        except AssertionError as error:
            has = dict(self.has)
            error.add_note(f"problems {self.problems}")
            error.add_note(f"more than there is: {sorted(has.items() - wanted.items())[:5]}")
            error.add_note(f"not there: {sorted(wanted.items() - has.items())[:5]}")
            raise
        assert self.job.poll() is None, self.job.stderr.read()
        assert self.synced <= 1, "synced is told once"

    def complains(self, *words):
        """The first problem, of all there ever were, that has all these words."""
        def found():
            return next((one for one in list(self.said) if all(word in one for word in words)), None)
        try:
            return wait_for(found, f"a problem with {words}")
        except AssertionError as error:
            error.add_note(f"said {self.said[-5:]}")
            raise

    def is_content(self):
        wait_for(lambda: not self.problems, "no problem")

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.job.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.job.stdin.close()
        code = self.job.wait(PATIENCE)
        self._reader.join(PATIENCE)
        errors = self.job.stderr.read()
        self.job.stderr.close()
        self.job.stdout.close()
        assert code == 0, f"api_follow ended with {code}: {errors}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            return self.stop()
        self.job.kill()
        self.job.wait()
        return None
