"""What a benchmark ran on, and what it is at."""

import datetime
import os
import platform
import subprocess
import sys


def machine(root):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    commit = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"], text=True,
                            capture_output=True, check=False).stdout.strip()
    return {"time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "commit": commit}


def line(facts, load_before, where):
    return (f"{facts['cpu']}, {facts['cpus']} CPUs, kernel {facts['kernel']}, commit "
            f"{facts['commit']}, load before {load_before:.1f}; {where}")


def say(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
