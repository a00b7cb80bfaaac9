"""What all packages are made of: the version, the time that files are given, staged files."""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build/release/bin"
OUT = ROOT / "build/package"


def version():
    """CMake's project(VERSION)."""
    return re.search(r"^project\(weir VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(),
                     re.M).group(1)


def run(*command, **options):
    """Runs a command; its output is shown when it fails."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"package: {' '.join(map(str, command))}: status {done.returncode}\n"
                         f"{done.stdout}{done.stderr}")
    return done.stdout


def epoch():
    """Seconds: the time of the commit, so that one commit gives one digest."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True,
                          text=True)
    return int(done.stdout) if done.returncode == 0 else 0


class Stage:
    """A folder with the files of a package, as root's, each with the time of epoch()."""

    def __init__(self, name):
        self.root = OUT / "stage" / name
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)

    def path(self, inside):
        """The place of /inside; its folder is made."""
        path = self.root / inside.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def copy(self, source, inside, mode=0o755):
        shutil.copyfile(source, self.path(inside))
        self.path(inside).chmod(mode)

    def write(self, inside, text, mode=0o644):
        self.path(inside).write_text(text)
        self.path(inside).chmod(mode)

    def link(self, inside, target):
        self.path(inside).symlink_to(target)

    def folder(self, inside):
        (self.root / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def finish(self):
        """The folder; nothing may be added any more."""
        when = (epoch(), epoch())
        for folder, _, files in os.walk(self.root, topdown=False):
            for name in files:
                os.utime(os.path.join(folder, name), when, follow_symlinks=False)
            os.chmod(folder, 0o755)
            for name in os.listdir(folder):
                os.utime(os.path.join(folder, name), when, follow_symlinks=False)
        os.utime(self.root, when)
        return self.root
