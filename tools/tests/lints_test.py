#!/usr/bin/env -S python3 -B
"""Each lint is quiet about a good tree, and names file and line of the fault in a bad one."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent
ARCHITECTURE = """\
| 0 | base | Result |
| 2 | state | tables |
| 5 | agent, cni | programs |
"""
DROPS = 'WEIR_DROP(TTL, 1, "time to live is used up")\n'
USES_TTL = "return drop(pkt, WEIR_DROP_TTL);\n"
FORMAT = "BasedOnStyle: Google\n"

# (lint, {path: text}, what it says; nothing: it is content)
CASES = [
    ("layers", {"src/state/a.h": '#include "base/fd.h"\n#include "state/b.h"\n'}, ""),
    ("layers", {"src/base/a.h": '\n#include "state/b.h"\n'}, "src/base/a.h:2: base (layer 0) may"),
    ("layers", {"src/cni/a.cc": '#include "agent/b.h"\n'}, "src/cni/a.cc:1: cni (layer 5) may not"),
    ("layers", {"src/base/a.h": '#include "abi/addr.h"\n'}, "base (layer 0) may not use abi"),
    ("layers", {"src/state/a.h": '#include "abi/addr.h"\n'}, ""),
    ("layers", {"src/base/CMakeLists.txt": "weir_library(base DEPS weir_state)\n"},
     "src/base/CMakeLists.txt:1: base (layer 0) may not use state"),
    ("layers", {"src/extra/a.h": ""}, "src/extra/a.h: folder extra is not in the table"),
    ("words", {"a.h": "// made from the list\n// TODO(ann): measure\n"}, ""),
    ("words", {"a.h": "\n// keep this in " + "sync with b.h\n"}, 'a.h:2: "in ' + 'sync with"'),
    ("words", {"a.md": "kept in " + "sync\nwith b\n"}, "a.md:1:"),
    ("words", {"a.cc": "// TODO" + ": later\n"}, "a.cc:1:"),
    ("words", {"run": "#!/bin/sh\n# FIXME" + " soon\n"}, "run:2:"),
    ("manifests", {"deploy/x.yaml": "no chart"}, ""),
    ("manifests", {"deploy/chart/Chart.yaml": "", "deploy/cni/weir-cni.yaml": "# other\n"},
     "deploy/cni/weir-cni.yaml: is not what deploy/chart makes"),
    ("layout", {"abi/a.h": "struct weir_a {\n  int x;\n};\nWEIR_LAYOUT(weir_a, 4);\n"}, ""),
    ("layout", {"abi/a.h": "\nstruct weir_a {\n  int x;\n};\n"}, "abi/a.h:2: struct weir_a has no"),
    ("layout", {"abi/a.h": "struct weir_a {\n};\n// WEIR_LAYOUT(weir_a, 4);\n"}, "abi/a.h:1:"),
    ("drops", {"bpf/a.bpf.c": USES_TTL}, ""),
    ("drops", {"bpf/a.bpf.c": USES_TTL + "return TCX_DROP;\n"}, "bpf/a.bpf.c:2: a drop without"),
    ("drops", {"bpf/a.bpf.c": USES_TTL + "return TCX_DROP; /* no packet */\n"}, ""),
    ("drops", {"bpf/a.bpf.c": "\n"}, "abi/drops.def: no program drops with reason TTL"),
    ("syscalls", {"src/base/fd.cc": "::close(fd);\n"}, ""),
    ("syscalls", {"src/agent/a.cc": "file.close();\nloop->close(1);\n// close(fd)\n"}, ""),
    ("syscalls", {"src/agent/a.cc": "\nclose(fd);\n"}, "src/agent/a.cc:2: close()"),
    ("syscalls", {"src/agent/a.cc": "f(strerror(errno));\n"}, "src/agent/a.cc:1: errno_error()"),
    ("syscalls", {"src/state/a.cc": "if (errno == 2) f();\n"}, "src/state/a.cc:1: layer state"),
    ("format", {"a.h": "int f();\n"}, ""),
    ("format", {"a.h": "int   f( );\n"}, "a.h: not formatted"),
    ("shell", {"run": '#!/bin/sh\necho "$1"\n'}, ""),
    ("shell", {"run": "#!/bin/sh\necho $1\n"}, "run:2:"),
    ("python", {"a.py": "print(1)\n"}, ""),
    ("python", {"a.py": "import os\n"}, "a.py:1:"),
    ("links", {"a.md": "[b](b.md) and `src/x.cc`\n", "b.md": "", "src/x.cc": ""}, ""),
    ("links", {"a.md": "\n[b](b.md)\n"}, "a.md:2: links to b.md"),
    ("links", {"a.md": "see `src/gone.cc`\n"}, "a.md:1: names src/gone.cc"),
    ("doc_tests", {"a.md": "`Nat.Keeps`, `Nat.K*`, `Nat.*`, `Node.leaving`\n",
                   "src/x_test.cc": "TEST_F(Nat, Keeps) {}\n"}, ""),
    ("doc_tests", {"a.md": "\n`Nat.Gone`\n", "src/x_test.cc": "TEST(Nat, Keeps) {}\n"},
     "a.md:2: names test Nat.Gone"),
    ("headers", {"src/base/a.h": "#pragma once\ninline int f() { return 1; }\n"}, ""),
    ("headers", {"src/base/a.h": "#pragma once\nstd::string name();\n"}, "src/base/a.h:"),
    ("headers", {"bpf/lib/a.h": "__u32 value(void);\n"}, "bpf/lib/a.h:"),
]


class Lints(unittest.TestCase):
    def setUp(self):
        self.tree = Path(tempfile.mkdtemp(prefix="weir-lints."))
        self.addCleanup(shutil.rmtree, self.tree)

    def write(self, files):
        for path, text in files.items():
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / path).write_text(text)

    def check(self, lint):
        return subprocess.run([TOOLS / f"check_{lint}", self.tree], capture_output=True, text=True,
                              check=False)

    def test_each_case(self):
        for lint, files, says in CASES:
            with self.subTest(lint=lint, files=files):
                for entry in self.tree.iterdir():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                self.write({"docs/architecture.md": ARCHITECTURE, "abi/drops.def": DROPS,
                            ".clang-format": FORMAT})
                self.write(files)
                done = self.check(lint)
                self.assertEqual(done.returncode, 1 if says else 0, done.stdout + done.stderr)
                self.assertIn(says, done.stdout)
                self.assertEqual(done.stderr, "")

    def test_every_lint_has_a_good_and_a_bad_case(self):
        needs_the_build = {"tidy"}
        for script in TOOLS.glob("check_*"):
            lint = script.name.removeprefix("check_")
            outcomes = {bool(says) for name, _, says in CASES if name == lint}
            if lint not in needs_the_build:
                self.assertEqual(outcomes, {True, False}, lint)


if __name__ == "__main__":
    sys.exit(unittest.main())
