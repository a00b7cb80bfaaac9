"""What the check_* scripts share: which files there are, and how a fault is told."""

import concurrent.futures
import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
C_LIKE = (".c", ".cc", ".h", ".def")


def root():
    """The tree to check: the argument, or this repository."""
    return Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HOME


def files(tree, *endings, under=""):
    """Files of the tree that git tracks or would track, relative to it."""
    return [path for path in listed(tree) if path.startswith(under) and path.endswith(endings or "")
            and (tree / path).is_file()]


def listed(tree):
    if (tree / ".git").exists():
        done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=tree,
                              check=True, capture_output=True, text=True)
        return sorted(path for path in done.stdout.split("\0") if path)
    return sorted(os.path.relpath(os.path.join(folder, name), tree)
                  for folder, _, names in os.walk(tree) for name in names)


def shell_scripts(tree):
    return [path for path in files(tree) if path.endswith(".sh")
            or re.match(r"#!.*\b(?:ba)?sh$", first_line(tree / path).strip())]


def python_scripts(tree):
    return [path for path in files(tree) if path.endswith(".py")
            or (first_line(tree / path).startswith("#!") and "python" in first_line(tree / path))]


def first_line(path):
    with open(path, "rb") as file:
        return file.readline(200).decode(errors="replace")


def read(tree, path):
    return (tree / path).read_text(errors="replace")


def without_comments(text):
    """C or C++ with comments and the insides of strings blanked; lines keep their numbers."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.S)


def sources_of(tree, path):
    """The file and, over all levels, our own headers that it includes."""
    found, todo = set(), [path]
    while todo:
        here = todo.pop()
        if here in found:
            continue
        found.add(here)
        for name in re.findall(r'^#include "([^"]+)"', read(tree, here), re.M):
            places = (f"src/{name}", name, f"bpf/{name}", f"{os.path.dirname(here)}/{name}")
            todo += [place for place in places if (tree / place).is_file()][:1]
    return sorted(found)


def check_each(tree, name, paths, command_of, salt):
    """Runs command_of(path) for each path, as many at once as there are processors. Prints the
    outputs of those that failed, as they come, and gives their paths. What passed is remembered by
    the contents of all its sources."""
    cache = Path.home() / ".cache" / "weir" / "lint" / name
    cache.mkdir(parents=True, exist_ok=True)

    def check(path):
        digest = hashlib.sha256(salt.encode())
        for source in sources_of(tree, path):
            digest.update(source.encode() + b"\0" + (tree / source).read_bytes())
        mark = cache / digest.hexdigest()
        if mark.exists():
            mark.touch()
            return None
        done = subprocess.run(command_of(path), cwd=tree, capture_output=True, text=True,
                              errors="replace", check=False)
        if done.returncode:
            print(f"{path}:\n{done.stdout}{done.stderr}".rstrip(), flush=True)
            return path
        mark.touch()
        return None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [path for path in pool.map(check, paths) if path]
    forget_old(cache)
    return failed


def forget_old(cache, days=30):
    for mark in cache.iterdir():
        if mark.stat().st_mtime < time.time() - days * 86400:
            mark.unlink(missing_ok=True)


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def finish(faults):
    """Prints the faults and ends the script."""
    faults = list(faults)
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)
