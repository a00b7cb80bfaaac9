#!/usr/bin/env -S python3 -B
"""./run shows the shop and takes it down again: by itself, and interrupted at any moment."""

import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_ROOT", Path(__file__).resolve().parents[2]))
CLUSTER = Path("/run/weir/local/default")
PATIENCE = 120


def start(*arguments):
    """As from a terminal: also below nohup, whose programs do not hear of a hang-up."""
    return subprocess.Popen([ROOT / "run", *arguments], stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.02)


def interrupt(job):
    """As Ctrl-C does: to all processes of the terminal's job."""
    os.killpg(job.pid, signal.SIGINT)
    said = job.communicate(timeout=PATIENCE)[0]
    assert not CLUSTER.exists(), f"{CLUSTER} is still there:\n{said}"
    return said


def ends_by_itself():
    job = start("--seconds", "5")
    said = job.communicate(timeout=PATIENCE)[0]
    print(said)
    assert job.returncode == 0, job.returncode
    for pod in ("load-generator", "front-end", "database"):
        assert pod in said, f"no line about {pod}"
    assert "POD_UNKNOWN" in said, "the report's drop is not told"
    assert not CLUSTER.exists()


def interrupted_while_it_comes_up():
    job = start()
    wait_for(CLUSTER.exists, "the cluster's folder")
    interrupt(job)


def interrupted_while_it_shows_flows():
    job = start()
    wait_for(lambda: "Ctrl-C takes everything down" in job.stdout.readline(), "the flows")
    interrupt(job)


def told_to_end():
    """As `kill` does: to ./run alone."""
    job = start()
    wait_for(lambda: "Ctrl-C takes everything down" in job.stdout.readline(), "the flows")
    job.terminate()
    said = job.communicate(timeout=PATIENCE)[0]
    assert not CLUSTER.exists(), f"{CLUSTER} is still there:\n{said}"


def nobody_reads_any_more():
    """As with `./run | head`: the next line ends it."""
    job = start()
    wait_for(lambda: "Ctrl-C takes everything down" in job.stdout.readline(), "the flows")
    job.stdout.close()
    try:
        job.wait(PATIENCE)
        assert not CLUSTER.exists(), f"{CLUSTER} is still there"
    finally:
        take_down()


def its_terminal_is_closed():
    hang_up(lambda job: None)


def its_terminal_is_closed_while_it_ends():
    hang_up(lambda job: wait_for(lambda: "ending the controller" in job.stdout.readline(),
                                 "weir down"))


def hang_up(before_it_is_closed):
    job = start()
    wait_for(lambda: "Ctrl-C takes everything down" in job.stdout.readline(), "the flows")
    os.killpg(job.pid, signal.SIGHUP)
    before_it_is_closed(job)
    job.stdout.close()
    try:
        job.wait(PATIENCE)
        assert not CLUSTER.exists(), f"{CLUSTER} is still there"
    finally:
        take_down()


def take_down():
    if CLUSTER.exists():
        subprocess.run([ROOT / "build" / "release" / "bin" / "weir", "down"], check=True)


def who_takes_it_down_is_not_read_to_the_end():
    """As with `weir down | head -1`."""
    weir = ROOT / "build" / "release" / "bin" / "weir"
    subprocess.run([weir, "up", ROOT / "examples" / "shop"], check=True, capture_output=True)
    with subprocess.Popen([weir, "down"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as job:
        job.stdout.readline()
        job.stdout.close()
        job.wait(PATIENCE)
    try:
        assert not CLUSTER.exists(), f"{CLUSTER} is still there"
    finally:
        take_down()


def a_second_one_is_refused():
    job = start()
    wait_for(lambda: "Ctrl-C takes everything down" in job.stdout.readline(), "the flows")
    try:
        second = start("--seconds", "5")
        said = second.communicate(timeout=PATIENCE)[0]
        assert second.returncode == 1, said
        assert "already up" in said and "weir down" in said, said
        assert CLUSTER.exists(), "the second one took the first one's cluster down"
    finally:
        interrupt(job)


def wrong_words_are_refused():
    for words in (["--seconds"], ["--seconds", "0"], ["--seconds", "soon"], ["--forever"]):
        job = start(*words)
        said = job.communicate(timeout=PATIENCE)[0]
        assert job.returncode == 2 and "usage: ./run" in said, (words, said)


def main():
    if CLUSTER.exists():
        raise SystemExit(f"a local cluster is up: {CLUSTER}")
    subprocess.run([ROOT / "tools" / "build", "release", "programs"], check=True)
    for step in (wrong_words_are_refused, ends_by_itself, interrupted_while_it_comes_up,
                 interrupted_while_it_shows_flows, told_to_end, nobody_reads_any_more,
                 its_terminal_is_closed, its_terminal_is_closed_while_it_ends,
                 who_takes_it_down_is_not_read_to_the_end,
                 a_second_one_is_refused):
        started = time.monotonic()
        step()
        print(f"{step.__name__.replace('_', ' ')}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
