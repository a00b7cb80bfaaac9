#!/usr/bin/python3 -B
"""Objects from an API server that misbehaves: whatever it does, what a follower has becomes what the
server has, and nothing is erased before a list is complete.

The interpreter is Debian's, for python3-h2 is."""

import json
import time
from pathlib import Path

import lib_fake_api
import lib_follow_scene
from lib_api_store import KINDS, PATHS, make
from lib_fake_api import cut, doubled, hang, instead, refuse, replaced, say, split, swapped
from lib_fake_http import Request
from lib_follow_scene import NAMES, Scene
from lib_lab import claim, equal
from lib_net import wait_for

CLAIMS = 50
FAST = {"longest_retry_ms": 4}


def streamed_lists(pki):
    for http2 in (False, True):
        with claim(f"lists are streamed, then watched, {'HTTP/2' if http2 else 'HTTP/1.1'}"), \
                Scene(pki, http2=http2) as scene:
            scene.follow()
            for _ in range(10):
                scene.change()
            scene.catches_up()
            scene.deselect()
            scene.catches_up()
            equal(("Pod", "lab/n0") in scene.follower.has, False)
            equal(("Pod", "lab/n1") in scene.follower.has, False)
            scene.goes_on()
            equal({one.mode for one in scene.server.requests}, {"watchlist"})
            equal(len(scene.server.requests), len(KINDS), "requests")
            equal(scene.server.connections, 2 if http2 else len(KINDS), "connections")
            equal(scene.follower.said, [])


def rests(pki):
    """What Nodes say is read together, and nothing else waits for it."""
    for streams_lists in (True, 400):
        with claim(f"Nodes that change often are read now and then, after "
                   f"{'a streamed list' if streams_lists is True else 'pages'}"), \
                Scene(pki, http2=True) as scene:
            scene.server.streams_lists = streams_lists
            scene.follow(rest_ms=2000)
            has = scene.follower.has
            scene.store.put("Node", "n0", "at once")
            wait_for(lambda: has["Node", "n0"] == "at once", "a change after a rest")
            scene.store.put("Node", "n1", "resting")
            for n in range(5):
                scene.store.put("Pod", "n0", f"{n}")
                wait_for(lambda mark=f"{n}": has["Pod", "lab/n0"] == mark, "a change of a Pod")
            equal(has["Node", "n1"], "first")
            scene.catches_up()
            scene.server.cut_all()
            scene.goes_on()


def paged_lists(pki):
    for how in (400, 422, "ignored"):
        with claim(f"a server without streamed lists ({how}) is listed by pages"), Scene(pki) as scene:
            scene.server.streams_lists = how
            scene.server.page = 2
            scene.follow()
            scene.goes_on()
            equal(len(scene.server.asked("list", "Pod")), 2, "pages")
            assert scene.server.asked("list", "Pod")[0].query["limit"] == "500"
            scene.follower.is_content()
    for version, mode in ((b'{"major": "1", "minor": "33"}', "watchlist"),
                          (b'{"major": "1", "minor": "34+"}', "list"),
                          (b'{"major": "1", "minor": "40"}', "list"), (b'{"minor": 40}', "watchlist"),
                          (b"1.34", "watchlist"), (b"", "watchlist")):
        with claim(f"a server of version {version.decode() or 'unknown'}: {mode}"), Scene(pki) as scene:
            scene.server.version = version
            scene.follow()
            scene.goes_on()
            equal({one.mode for one in scene.server.requests} - {"watch"}, {mode})
    with claim("a server that no longer streams lists, and forgets"), Scene(pki) as scene:
        scene.follow()
        scene.server.streams_lists = "ignored"
        scene.server.gone_is_status = True
        scene.list_anew()
        scene.goes_on()
    with claim("pages that are not of one time"), Scene(pki) as scene:
        scene.server.streams_lists = 400
        scene.server.page = 1
        scene.server.live_pages = True
        turns = iter((lambda: scene.store.put("Pod", "n0", "changed behind"),
                      lambda: scene.store.delete("Pod", "n1"),
                      lambda: scene.store.put("Pod", "a0", "before all")))

        def meanwhile(_server, answer):
            next(turns, lambda: None)()
            return answer
        scene.server.fail("list", "Pod", meanwhile, times=3)
        scene.start().has_synced()
        scene.catches_up()
        scene.goes_on()


def every_byte(pki):
    with claim("events that come byte by byte"), Scene(pki) as scene:
        scene.server.fail("watchlist", "*", split(1), times=len(KINDS))
        scene.follow()
        scene.goes_on()
    with claim("events cut at every byte"), Scene(pki) as scene:
        scene.server.bookmark_seconds = None
        scene.follow(**FAST)
        with scene.store.stopped():
            version = scene.store.version
            scene.store.put("Pod", "n0", "cut")
            event = lib_fake_api.line(*scene.store.since(version, "Pod", {})[0])
        scene.catches_up()
        scene.server.cut_all()
        told = scene.follower.upserts
        # Each of the same length as the one before.
        for after in range(len(event)):
            scene.server.fail("watch", "Pod", cut(after))
        scene.store.put("Pod", "n0", "cat")
        wait_for(lambda: scene.server.faults_left() == 0, "all the cuts")
        scene.catches_up()
        equal(scene.follower.upserts, told + 1, "upserts")
        scene.goes_on()
    for how, mode in ((True, "watchlist"), (400, "list")):
        with claim(f"lists cut in their middle erase nothing, {mode}"), Scene(pki) as scene:
            scene.server.streams_lists = how
            scene.follow(**FAST)
            erased = len(scene.follower.erased)
            with scene.store.stopped():
                scene.server.cut_all()
                scene.store.delete("Node", "n1")
                scene.store.compact()
                whole = len(pieces_of(scene.server, "list", "Node")[0])  # the stream is longer
                for after in range(0, whole, 11):
                    scene.server.fail("lists", "Node", cut(after))
                scene.server.fail("lists", "Node", hang(whole // 2))
            wait_for(lambda: scene.server.faults_left() == 0, "all the cuts")
            equal(len(scene.follower.erased), erased, "erased before the list was complete")
            equal(scene.follower.has["Node", "n1"], "first")
            assert not [one for one in scene.follower.said if "answers 200" in one], scene.follower.said
            scene.server.cut_all()
            scene.catches_up()
            equal(scene.follower.erased[erased:], [("Node", "n1")])
            scene.goes_on()
            # A cut is no sign that the server cannot stream lists; both ways are tried in turn.
            lists = len(scene.server.asked(mode, "Node"))
            scene.list_anew()
            scene.goes_on()
            equal(len(scene.server.asked(mode, "Node")), lists + 1, mode)


def pieces_of(server, mode, kind):
    """What the server would say in a list."""
    query = {"list": "limit=500", "watchlist": "watch=1&sendInitialEvents=true"}[mode]
    path = next(path for path, of in PATHS.items() if of == kind)
    request = Request("GET", f"{path}?{query}", {}, None)
    answer = getattr(server, f"_{mode}")(request)
    return [piece for piece, _ in zip(answer.pieces, range(len(NAMES) + 1))]


def refusals(pki):
    with claim("429: as long as the server asks, and only there"), Scene(pki) as scene:
        scene.server.fail("*", "Pod", refuse(429, "slow down", retry_after="1"), times=2)
        scene.start()
        wait_for(lambda: len([key for key in scene.follower.has if key[0] != "Pod"]) ==
                 len(NAMES) * (len(KINDS) - 1), "the other kinds")
        scene.follower.complains("pods", "429", "slow down")
        equal(scene.follower.synced, 0)
        scene.follower.has_synced()
        times = [one.time for one in scene.server.asked("*", "Pod")]
        equal(len(times), 3, "requests")
        for before, after in zip(times, times[1:]):
            assert after - before > 0.95, after - before
        scene.goes_on()
        scene.follower.is_content()
    for code in (500, 503):
        with claim(f"{code} in lists and watches"), Scene(pki) as scene:
            scene.server.fail("*", "*", refuse(code, "not today"), times=20)
            scene.start()
            scene.follower.complains(str(code), "not today")
            scene.follower.has_synced()
            scene.server.fail("watch", "*", refuse(code, "not today"), times=20)
            scene.server.cut_all()
            scene.goes_on()
            equal(scene.server.faults_left(), 0)
            scene.follower.is_content()
    with claim("what is not text in a refusal is not passed on"), Scene(pki) as scene:
        scene.server.fail("*", "Pod", lambda *_: lib_fake_api.Answer(500, [b"\xff\xfe\0 \xc3"]))
        scene.start()
        scene.follower.complains("pods", "500: ??? ?")
        scene.follower.has_synced()
    with claim("403: the missing permission is named"), Scene(pki) as scene:
        scene.server.forbidden = {"EndpointSlice"}
        scene.start()
        scene.follower.complains("list and watch", "endpointslices.discovery.k8s.io")
        equal(scene.follower.synced, 0)
        scene.server.forbidden = set()
        scene.follower.has_synced()
        scene.goes_on()
        scene.follower.is_content()


def stale_lists(pki):
    with claim("an older list than was told of is not believed"), Scene(pki) as scene:
        scene.server.streams_lists = 400
        scene.follow()
        old = pieces_of(scene.server, "list", "Pod")[0]
        scene.store.delete("Pod", "n1")
        scene.change()
        scene.catches_up()
        told = scene.follower.upserts
        scene.server.fail("list", "Pod", instead(old), times=3)
        with scene.store.stopped():
            scene.store.compact()
            scene.store.put("Pod", "n2", "after")
            scene.store.compact()
            scene.server.cut_all()
        scene.catches_up()
        equal(scene.follower.upserts, told + 1, "upserts")
        assert any("had told of" in one for one in scene.follower.said), scene.follower.said
        scene.goes_on()
    with claim("nor is an older streamed list"), Scene(pki) as scene:
        scene.follow()
        old = pieces_of(scene.server, "watchlist", "Pod")
        scene.store.delete("Pod", "n1")
        scene.goes_on()
        for _ in range(3):
            scene.server.fail("watchlist", "Pod", lib_fake_api.changed(lambda *_: iter(old)))
        scene.list_anew()
        scene.catches_up()
        scene.goes_on()
    for how in (True, 400):
        with claim(f"a cluster that was set back is followed, lists {how}"), Scene(pki) as scene:
            scene.server.streams_lists = how
            backup = scene.store.backup()
            scene.follow(watch_silence_ms=400)
            for _ in range(20):
                scene.change()
            scene.store.delete("Pod", "n1")
            scene.catches_up()
            with scene.store.stopped():
                scene.store.restore(backup)
                scene.server.cut_all()
            scene.catches_up()
            scene.goes_on()


def disorder(pki):
    for name, fault in (("twice", doubled), ("in wrong order", swapped)):
        with claim(f"events that come {name}"), Scene(pki) as scene:
            scene.server.fail("*", "*", fault(), times=30)
            scene.start().has_synced()
            for _ in range(15):
                scene.goes_on()


def bookmarks(pki):
    with claim("bookmarks alone keep a watch from being too old"), Scene(pki) as scene:
        scene.server.bookmark_seconds = 0.02
        scene.follow()
        for _ in range(5):
            scene.change("Pod")
        scene.catches_up()
        wanted = scene.store.version
        scene.store.put("Pod", "n2", "last")
        scene.catches_up()
        # One watch from where bookmarks had come to; without them, from the list.
        scene.server.bookmark_seconds = 0.02
        for _ in range(3):
            scene.server.fail("watch", "Namespace", lib_fake_api.changed(until_bookmark(wanted)))
            seen = len(scene.server.asked("watch", "Namespace"))
            scene.server.cut_all()
            wait_for(lambda n=seen: len(scene.server.asked("watch", "Namespace")) > n + 1,
                     "a watch that had its bookmark")
        with scene.store.stopped():
            scene.store.compact()
            scene.server.cut_all()
        scene.goes_on()
        equal(len(scene.server.asked("watchlist", "Namespace")), 1, "lists of namespaces")


def until_bookmark(version):
    """The stream ends after a bookmark of at least that version."""
    def change(_server, pieces):
        for piece in pieces:
            yield piece
            told = json.loads(piece)
            if told["type"] == "BOOKMARK" and \
                    int(told["object"]["metadata"]["resourceVersion"]) >= version:
                return
    return change


def garbage_lines():
    """What may stand where an event of a pod was meant."""
    good = make("Pod", "n0", "garbage")
    good["metadata"]["resourceVersion"] = "5000"

    def altered(kind="ADDED", top=None, **metadata):
        one = json.loads(json.dumps(good))
        one.update(top or {})
        for name, value in metadata.items():
            if value is None:
                one["metadata"].pop(name)
            else:
                one["metadata"][name] = value
        return lib_fake_api.line(kind, one)
    bare = {name: value for name, value in good.items() if name != "metadata"}
    return {
        "no JSON": b"<html>not today</html>\n",
        "half a JSON": altered()[:100] + b"\n",
        "not UTF-8": b'{"type":"ADDED","object":"\xff\xfe"}\n',
        "zeros": b"\0\0\0\0\n",
        "an empty object": b"{}\n",
        "a number": b"5\n",
        "null": b"null\n",
        "a list": b"[]\n",
        "too deep": b"[" * 5000 + b"]" * 5000 + b"\n",
        "no object": b'{"type":"ADDED"}\n',
        "object null": b'{"type":"ADDED","object":null}\n',
        "object a list": b'{"type":"MODIFIED","object":[]}\n',
        "gone null": b'{"type":"DELETED","object":null}\n',
        "no metadata": lib_fake_api.line("MODIFIED", bare),
        "no name": altered(name=None),
        "name a number": altered(name=7),
        "empty name": altered(name=""),
        "no namespace": altered(namespace=None),
        "gone without namespace": altered("DELETED", namespace=None),
        "no version": altered(resourceVersion=None),
        "a version that is no number": altered(resourceVersion="abc"),
        "an empty version": altered(resourceVersion=""),
        "a version of another type": altered(resourceVersion=5000),
        "gone without version": altered("DELETED", resourceVersion=None),
        "another kind": altered(top={"kind": "Service", "apiVersion": "v1"}),
        "gone of another kind": altered("DELETED", top={"kind": "Service"}),
        "an unknown type": altered("CREATED"),
        "an empty type": altered(""),
        "a type that is no text": b'{"type":[],"object":{}}\n',
        "a bookmark without version": lib_fake_api.line("BOOKMARK", {"kind": "Pod", "metadata": {}}),
        "a bookmark null": b'{"type":"BOOKMARK","object":null}\n',
        "an error null": b'{"type":"ERROR","object":null}\n',
        "an error without code": b'{"type":"ERROR","object":{"kind":"Status"}}\n',
        "an error with a strange code": b'{"type":"ERROR","object":{"code":"410"}}\n',
    }


def garbage(pki):
    with claim("garbage in place of an event"), Scene(pki) as scene:
        scene.server.bookmark_seconds = None
        scene.follow(**FAST)
        for what, text in garbage_lines().items():
            in_place(scene, "watch", what, text)
    with claim("garbage in place of a streamed list's first event"), Scene(pki) as scene:
        scene.follow(**FAST)
        for what, text in garbage_lines().items():
            in_place(scene, "watchlist", what, text)
    with claim("garbage in place of a page"), Scene(pki) as scene:
        scene.server.streams_lists = 400
        scene.follow(**FAST)
        for what, text in {**garbage_lines(), **garbage_pages(scene.store)}.items():
            in_place(scene, "list", what, text)
    with claim("versions from the future are forgotten after a while"), Scene(pki) as scene:
        scene.server.bookmark_seconds = None
        scene.follow(**FAST)
        for text in (bookmark_at(2**63), bookmark_at(2**64 - 1)):
            in_place(scene, "watch", "a bookmark from the future", text)
    with claim("empty lines between events"), Scene(pki) as scene:
        scene.follow()
        scene.server.fail("watch", "*", say(b"\n", b"\n\n\n"), times=len(KINDS))
        scene.server.cut_all()
        scene.goes_on()
        equal(len(scene.server.asked("watchlist")), len(KINDS), "lists")


def bookmark_at(version):
    return lib_fake_api.line("BOOKMARK", lib_fake_api.bookmark("Pod", version))


def garbage_pages(store):
    version = str(store.version + 10**6)

    def page(metadata, items, kind="PodList"):
        return json.dumps({"kind": kind, "metadata": metadata, "items": items}).encode()
    return {
        "no items": json.dumps({"kind": "PodList", "metadata": {"resourceVersion": version}}).encode(),
        "items of a wrong type": page({"resourceVersion": version}, {}),
        "no version": page({}, []),
        "a version that is no number": page({"resourceVersion": "new"}, []),
        "another kind": page({"resourceVersion": version}, [], "ServiceList"),
        "a Status": json.dumps({"kind": "Status", "metadata": {"resourceVersion": version},
                                "items": None}).encode(),
        "an item null": page({"resourceVersion": version}, [None]),
        "an item without name": page({"resourceVersion": version}, [{"metadata": {}}]),
        "an item of text": page({"resourceVersion": version}, ["n0"]),
    }


def in_place(scene, mode, what, text):
    """One change whose event, or whose list, is garbage at first."""
    scene.server.fail(mode, "Pod", instead(text) if mode == "list" else replaced(0, lambda _: text))
    with scene.store.stopped():
        scene.server.cut_all()
        scene.change("Pod") if mode == "watch" else scene.list_anew("Pod")
    try:
        wait_for(lambda: scene.server.faults_left() == 0, "the garbage to be asked for")
        scene.catches_up(patience=5)
    except AssertionError as error:
        error.add_note(what)
        raise AssertionError(f"{what}: {error} {error.__notes__}") from error


def enormous(pki):
    with claim("an endless line is given up"), Scene(pki) as scene:
        scene.follow()
        scene.server.fail("watch", "Pod", say(*[b"x" * (1 << 20)] * 100))
        scene.server.cut_all()
        scene.follower.complains("over 32 MiB")
        scene.goes_on()
        status = Path(f"/proc/{scene.follower.job.pid}/status").read_text()
        memory = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        assert int(memory.split()[1]) < 300_000, memory
    for how in (True, 400):
        with claim(f"objects of 8 MiB are taken, lists {how}"), Scene(pki) as scene:
            scene.server.streams_lists = how
            scene.store.put("Pod", "large", "large", labels={"more": "x" * (8 << 20)})
            scene.follow()
            scene.store.put("Pod", "large", "larger", labels={"more": "x" * (9 << 20)})
            scene.goes_on()
            equal(scene.follower.said, [])


def gone(pki):
    for as_status in (False, True):
        with claim(f"410 to a watch, as {'status' if as_status else 'event'}"), Scene(pki) as scene:
            scene.server.gone_is_status = as_status
            scene.follow()
            for _ in range(3):
                scene.list_anew()
                scene.catches_up()
            equal(len(scene.server.asked("watchlist", "Pod")), 4, "lists")
            scene.goes_on()
            scene.follower.is_content()
    with claim("410 within a watch"), Scene(pki) as scene:
        scene.follow()
        expired = lib_fake_api.line("ERROR", lib_fake_api.status_of(410, "expired"))
        scene.server.fail("watch", "*", say(expired), times=len(KINDS))
        scene.server.bookmark_seconds = 0.01
        scene.server.cut_all()
        wait_for(lambda: scene.server.faults_left() == 0, "410 to all")
        scene.goes_on()
        equal(len(scene.server.asked("watchlist", "Pod")), 2, "lists")
    with claim("410 to a continue token"), Scene(pki) as scene:
        scene.server.streams_lists = 400
        scene.server.page = 1

        def compact(server, answer):
            server.store.put("Pod", "n1", "compacted")
            server.store.compact()
            return answer
        scene.server.fail("list", "Pod", compact, times=3)
        scene.start().has_synced()
        scene.catches_up()
        assert not scene.follower.erased
        scene.goes_on()


def silence(pki):
    with claim("watches that fall silent are begun anew"), Scene(pki) as scene:
        scene.follow(watch_silence_ms=300)
        scene.server.fail("watch", "*", hang(0), times=len(KINDS))
        scene.server.cut_all()
        wait_for(lambda: scene.server.faults_left() == 0, "silence")
        scene.goes_on()
    with claim("a watch that falls silent in mid-event"), Scene(pki) as scene:
        scene.follow(watch_silence_ms=300)
        scene.server.fail("watch", "*", hang(25), times=len(KINDS))
        scene.server.cut_all()
        scene.goes_on()
        assert scene.server.faults_left() == 0
    for how, mode in ((True, "watchlist"), (400, "list")):
        with claim(f"a list that falls silent, {mode}"), Scene(pki) as scene:
            scene.server.streams_lists = how
            scene.server.fail(mode, "Node", hang(300))
            scene.start(list_silence_ms=300)
            scene.follower.complains("API server")
            scene.follower.has_synced()
            scene.catches_up()
            scene.goes_on()
    with claim("a quiet watch with bookmarks is left alone"), Scene(pki) as scene:
        scene.follow(watch_silence_ms=1500)
        bookmarks_in_two_silences = len(KINDS) * 2 * 1.5 / scene.server.bookmark_seconds
        wait_for(lambda: scene.server.bookmarks > bookmarks_in_two_silences, "bookmarks")
        equal(len(scene.server.requests), len(KINDS), "requests")


def streams_end(pki):
    with claim("watches that end in time go on where they were"), Scene(pki) as scene:
        scene.follow(stream_ms=2000)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            scene.goes_on()
        assert len(scene.server.asked("watch")) >= len(KINDS), scene.server.requests
        equal(len(scene.server.asked("watchlist")), len(KINDS))
        equal(scene.follower.said, [])
    with claim("watches that end at once do not spin"), Scene(pki) as scene:
        scene.follow(longest_retry_ms=100)
        scene.server.fail("watch", "*", lib_fake_api.changed(lambda *_: iter(())), times=1000)
        before = scene.follower.cpu_seconds()
        scene.server.cut_all()
        end = time.monotonic() + 1
        wait_for(lambda: time.monotonic() > end, "a second to pass")
        asked = len(scene.server.asked("watch"))
        assert asked < 40 * len(KINDS), asked
        assert scene.follower.cpu_seconds() - before < 0.6
        scene.server.heal()
        scene.goes_on()


lib_follow_scene.begin()
lib_follow_scene.run((streamed_lists, rests, paged_lists, every_byte, refusals, stale_lists, disorder,
                      bookmarks, garbage, enormous, gone, silence, streams_end), CLAIMS)
