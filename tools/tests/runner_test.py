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


RUN_ROOMS = """
import sys
from pathlib import Path
sys.path.insert(0, {testing!r})
import rooms
root = Path({root!r})
commands = dict((path.name, [path]) for path in sorted(root.glob("*_test.sh")))
for each in rooms.run_commands(commands, root, root, 20, 2):
    print("RESULT", each.name, each.status, each.output.replace("\\n", " "))
"""


@unittest.skipUnless(os.geteuid() == 0, "rooms need root")
class Rooms(unittest.TestCase):
    def outcome(self, bodies):
        """{name: what came of it} of scripts run two at a time."""
        root = Path(tempfile.mkdtemp(prefix="weir-runner."))
        self.addCleanup(shutil.rmtree, root)
        for name, body in bodies.items():
            script = root / f"{name}_test.sh"
            script.write_text("#!/usr/bin/env bash\n" + textwrap.dedent(body))
            script.chmod(0o755)
        code = RUN_ROOMS.format(testing=str(TESTING), root=str(root))
        done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True,
                              check=True)
        self.assertEqual([name for kind in ("link", "network namespace", "file", "cgroup")
                          for name in leaks.picture()[kind] if Path(name).name in ("d0", "mine")], [])
        words = [line.split(" ", 2) for line in done.stdout.splitlines()
                 if line.startswith("RESULT ")]
        return {name.removesuffix("_test.sh"): said for _, name, said in words}

    def test_two_run_at_once_and_do_not_see_each_other(self):
        """Each waits for the other, by a file both see, before it looks for the other's traces."""
        body = """
            exec 2>&1
            meet() { touch "$WEIR_ROOT/$1.$2"; until [ -e "$WEIR_ROOT/$1.$3" ]; do :; done; }
            folder=$(awk '$3 == "cgroup2" {{ print $2; exit }}' /proc/mounts)
            trap 'rmdir $folder/weir-mine; rm -f /run/weir/mine; ip netns del mine; ip link del d0' EXIT
            mkdir $folder/weir-mine && touch /run/weir/mine && ip netns add mine && \
              ip link add d0 type bridge && meet made ME OTHER
            ls /run/weir; ip -o link | wc -l; ip netns; ls -d $folder/weir-*/ | wc -l
            meet looked ME OTHER
            """.replace("{{", "{").replace("}}", "}")
        said = self.outcome({name: body.replace("ME", name).replace("OTHER", other)
                             for name, other in (("a", "b"), ("b", "a"))})
        self.assertEqual(said, dict.fromkeys("ab", "passed mine 2 mine 1 "))

    def test_what_is_left_in_a_room_is_a_failure(self):
        said = self.outcome({"leaves": "ip link add d0 type bridge; ip netns add mine",
                             "next": "ip -o link | wc -l"})
        self.assertTrue(said["leaves"].startswith("failed"), said)
        self.assertIn("left behind: link d0", said["leaves"])
        self.assertIn("left behind: network namespace mine", said["leaves"])

    def test_those_that_must_be_alone_come_last(self):
        said = self.outcome({"alone": "# alone: measures\n ls $WEIR_ROOT/b.over",
                             "b": "touch $WEIR_ROOT/b.over", "c": ":"})
        self.assertEqual(list(said)[-1], "alone")
        self.assertTrue(said["alone"].startswith("passed"), said)


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
