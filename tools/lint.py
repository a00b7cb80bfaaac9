"""What the check_* scripts share: which files there are, and how a fault is told."""

import os
import re
import subprocess
import sys
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


def finish(faults):
    """Prints the faults and ends the script."""
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)
