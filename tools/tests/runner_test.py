#!/usr/bin/env -S python3 -B
"""What ./test does with tests that pass, fail, are skipped, hang or leave something behind."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from pathlib import Path

TESTING = Path(__file__).resolve().parent.parent / "testing"
sys.path.insert(0, str(TESTING))

import ctest  # noqa: E402
import leaks  # noqa: E402
import result  # noqa: E402

RUN_SCRIPTS = """
import sys
from pathlib import Path
sys.path.insert(0, {testing!r})
import processes
import scripts
scripts.PATIENCE_SECONDS = 0.3
processes.GRACE_SECONDS = 1
processes.become_subreaper()
root = Path({root!r})
scripts.leaks.picture = lambda: {{}}
commands = dict((path.name, [path]) for path in sorted(root.glob("*_test.sh")))
for each in scripts.run_commands(commands, root, root, {seconds}):
    print("RESULT", each.status, each.output)
"""


class Scripts(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="weir-runner."))
        self.addCleanup(shutil.rmtree, self.root)

    def outcome(self, body, seconds=10):
        """Runs one script in a runner of its own."""
        script = self.root / "one_test.sh"
        script.write_text("#!/usr/bin/env bash\n" + textwrap.dedent(body))
        script.chmod(0o755)
        code = RUN_SCRIPTS.format(testing=str(TESTING), root=str(self.root), seconds=seconds)
        done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True,
                              check=True)
        return done.stdout.partition("RESULT ")[2].strip()

    def test_status_zero_passes(self):
        self.assertEqual(self.outcome("echo fine"), "passed fine")

    def test_another_status_fails(self):
        self.assertEqual(self.outcome("echo bad; exit 3"), "failed bad")

    def test_status_77_is_a_skip(self):
        self.assertEqual(self.outcome("echo no fq here; exit 77"), "skipped no fq here")

    def test_a_process_left_behind_is_a_failure_and_is_ended(self):
        said = self.outcome('setsid sleep 1234 & echo $! >"$WEIR_TMP/../weir-runner-pid"')
        self.addCleanup(lambda: os.unlink("/tmp/weir-runner-pid"))
        pid = int(Path("/tmp/weir-runner-pid").read_text())
        self.assertIn("sleep 1234", said)
        self.assertTrue(said.startswith("failed"), said)
        self.assertFalse(Path(f"/proc/{pid}").exists())

    def test_a_script_that_hangs_is_told_to_end_and_may_clean_up(self):
        said = self.outcome("""
            trap 'echo cleaned up; exit 1' TERM
            sleep 60 & wait $!
            """, seconds=0.5)
        self.assertTrue(said.startswith("failed cleaned up"), said)
        self.assertIn("still running after 0.5 s", said)

    def test_a_script_that_ignores_the_signal_is_killed(self):
        started = time.monotonic()
        self.assertIn("still running", self.outcome("trap '' TERM; sleep 60", seconds=0.5))
        self.assertLess(time.monotonic() - started, 30)


class Leaks(unittest.TestCase):
    def test_tells_what_came_and_what_went(self):
        before = {"link": {"lo", "eth0"}, "mount": {"/", "/old"}}
        after = {"link": {"lo", "veth1"}, "mount": {"/", "/new"}}
        self.assertEqual(leaks.difference(before, after),
                         ["left behind: link veth1", "gone: link eth0",
                          "left behind: mount /new"])

    def test_the_same_picture_twice_is_no_difference(self):
        self.assertEqual(set(leaks.picture()), set(leaks.picture()))


class Report(unittest.TestCase):
    def test_reads_ctest_results(self):
        report = """<testsuite><testcase name="a" status="run" time="0.5"/>
            <testcase name="b" status="fail"><failure message=""/><system-out>no</system-out>
            </testcase><testcase name="c" status="notrun"><skipped message="x"/>
            <system-out>f.cc:3: Skipped\nneeds fq\n\n[  SKIPPED ] A.B</system-out></testcase>
            </testsuite>"""
        cases = ctest.xml.etree.ElementTree.fromstring(report).iter("testcase")
        got = [(case.name, case.status, case.output) for case in
               (ctest.read(case, "log") for case in cases)]
        self.assertEqual(got, [("a", "passed", ""), ("b", "failed", "no"),
                               ("c", "skipped", "needs fq")])

    def test_the_last_line_counts(self):
        tally = result.Tally()
        tally.results = [result.Result("a", "passed"), result.Result("b", "failed"),
                         result.Result("c", "skipped"), result.Result("d", "passed")]
        self.assertEqual(tally.summary(), "2 passed, 1 failed, 1 skipped")
        self.assertTrue(tally.failed())


if __name__ == "__main__":
    sys.exit(unittest.main())
