"""A cluster's objects, a fake API server that has them, and a follower of it."""

import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import lib_fake_api
import lib_follow
import lib_lab
import lib_pki
from lib_api_store import HEADLESS, KINDS, OTHER_PROXY, Store

NAMES = ("n0", "n1", "n2")


def begin():
    """Skips where the follower is not built; a signal ends the test with everything cleaned up."""
    if not lib_follow.PROGRAM.exists():
        print(f"skipped: {lib_follow.PROGRAM} is not built")
        sys.exit(lib_lab.SKIP)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def run(tests, claims):
    """The tests, or those that the command line names; there must be that many claims."""
    pki = Pki()
    chosen = sys.argv[1:]
    for test in tests:
        if not chosen or test.__name__ in chosen:
            begun = time.monotonic()
            test(pki)
            print(f"      {test.__name__}: {time.monotonic() - begun:.1f} s")
    lib_lab.finish(1 if chosen else claims)


class Pki:
    """A CA that all trust, and the certificate of a server on loopback."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="weir-pki.",
                                                   dir=os.environ.get("WEIR_TMP"))
        self.folder = Path(self._folder.name)
        self.authority = lib_pki.Authority(self.folder)
        self.server = self.authority.sign("server", ["IP:127.0.0.1", "IP:127.0.0.2"])


class Scene(contextlib.ExitStack):
    def __init__(self, pki, **options):
        super().__init__()
        self.pki = pki
        self.store = Store()
        for kind in KINDS:
            for name in NAMES:
                self.store.put(kind, name, "first")
        self.server = self.serve(**options)
        self.follower = None
        self.changes = 0

    def serve(self, certificate=None, **options):
        """One more server of the same cluster."""
        return self.enter_context(
            lib_fake_api.FakeApi(self.store, certificate or self.pki.server, **options))

    def follow(self, *words, **pace):
        """Synced and equal."""
        self.start(*words, **pace).has_synced().catches_up(self.store)
        return self.follower

    def start(self, *words, **pace):
        words = words or ("--server", self.server.url, "--ca", self.pki.authority.path)
        self.follower = self.enter_context(lib_follow.Follower(*words, **pace))
        return self.follower

    def restart_server(self, **options):
        """REQUIRES: it is stopped. At the same port."""
        self.server = self.serve(port=self.server.port, **options)

    def change(self, *kinds):
        """Something passes, changes, goes and comes, of each kind; who has the last has all."""
        self.changes += 1
        mark = f"change-{self.changes}"
        for kind in kinds or KINDS:
            self.store.put(kind, "passing", mark)
            self.store.delete(kind, "passing")
            self.store.put(kind, "n0", mark)
            self.store.delete(kind, f"change-{self.changes - 1}")
            self.store.put(kind, mark, mark)

    def deselect(self):
        """What is there, and no longer wanted."""
        self.store.put("Pod", "n0", "ended", phase="Succeeded")
        self.store.put("Pod", "n1", "moved", node="elsewhere")
        self.store.put("Service", "n0", "other", labels={OTHER_PROXY: "else"})
        self.store.put("EndpointSlice", "n0", "headless", labels={HEADLESS: ""})

    def catches_up(self, patience=lib_follow.PATIENCE):
        self.follower.catches_up(self.store, patience)

    def goes_on(self, patience=lib_follow.PATIENCE):
        """What happens from now on is followed."""
        self.change()
        self.catches_up(patience)

    def list_anew(self, *kinds):
        """Watches end and cannot go on where they were."""
        self.change(*kinds)
        with self.store.stopped():
            self.store.compact()
            self.server.cut_all()
