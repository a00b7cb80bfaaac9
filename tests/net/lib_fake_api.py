"""A fake Kubernetes API server: lists by pages, watches, WatchLists and bookmarks of a Store as the
real one has them, over TLS, by HTTP/1.1 or HTTP/2; and it misbehaves where a test says so:

    server.fail("watch", "Pod", lib_fake_api.cut(after=100))    the next watch of pods only
"""

import base64
import contextlib
import json
import socket
import ssl
import threading
import time

import lib_fake_http
from lib_fake_http import Cut, abort

END_OF_LIST = "k8s.io/initial-events-end"


class Answer:
    """Pieces of a body as they come; a stream's length is not known before."""

    def __init__(self, status, pieces, is_stream=False, headers=None):
        self.status, self.pieces, self.is_stream = status, pieces, is_stream
        self.headers = {"content-type": "application/json", **(headers or {})}
        if not is_stream:
            self.pieces = [b"".join(pieces)]
            self.headers["content-length"] = str(len(self.pieces[0]))


def line(kind, one):
    return json.dumps({"type": kind, "object": one}).encode() + b"\n"


def status_of(code, message, reason=""):
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
            "message": message, "metadata": {}}


def refusal(code, message, headers=None):
    return Answer(code, [json.dumps(status_of(code, message)).encode()], headers=headers)


class FakeApi:
    def __init__(self, store, certificate, address="127.0.0.1", port=0, client_ca=None, http2=False):
        self.store = store
        self.version = b""          # what /version says
        self.streams_lists = True   # or the status of the refusal, or "ignored"
        self.page = 500             # gives fewer than it is asked for
        self.live_pages = False     # each page is as of its own time
        self.bookmark_seconds = 0.1
        self.tokens = None          # those accepted, or all
        self.users = None           # names in clients' certificates that are accepted
        self.forbidden = set()      # kinds
        self.gone_is_status = False
        self.requests = []
        self.connections = 0
        self.bookmarks = 0
        self.http2_connections = []
        self.stopping = threading.Event()
        self._rules = []
        self._lock = threading.Lock()
        self._sockets = set()
        self._threads = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.path, certificate.key)
        self._context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
        if client_ca:
            self._context.load_verify_locations(client_ca.path)
            self._context.verify_mode = ssl.CERT_OPTIONAL
        self._listener = socket.create_server((address, port), backlog=128)
        self.address, self.port = self._listener.getsockname()
        self.url = f"https://{self.address}:{self.port}"
        self.spawn(self._accept)

    # --- connections ---------------------------------------------------------------------------

    def spawn(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.spawn(self._talk, plain)

    def _talk(self, plain):
        plain.settimeout(20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.add(plain)
        sock = plain
        try:
            sock = self._context.wrap_socket(plain, server_side=True)
            with self._lock:
                self._sockets.add(sock)
            if not self.stopping.is_set():
                lib_fake_http.talk(self, sock)
        except OSError:
            pass  # it is gone, or does not trust us
        finally:
            with self._lock:
                self._sockets -= {plain, sock}
            with contextlib.suppress(OSError):
                sock.close()

    def cut_all(self):
        """Every connection ends without a word."""
        with self._lock:
            found = list(self._sockets)
        for sock in found:
            abort(sock, reset=True)

    def stop(self):
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        with self.store.changed:
            self.store.changed.notify_all()
        with self._lock:
            found = list(self._threads)
        for thread in found:
            thread.join(20)
            assert not thread.is_alive(), "a thread of the fake server hangs"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # --- answers -------------------------------------------------------------------------------

    def fail(self, mode, kind, fault, times=1):
        """The next `times` requests of that mode ("list", "watchlist", "lists": both, "watch", "*")
        and kind (or "*"), by fault(server, answer)."""
        with self._lock:
            self._rules.append([mode, kind, fault, times])

    def heal(self):
        with self._lock:
            self._rules.clear()

    def faults_left(self):
        with self._lock:
            return len(self._rules)

    def asked(self, mode="*", kind="*"):
        return [one for one in self.requests
                if mode in ("*", one.mode) and kind in ("*", one.kind)]

    def answer(self, request):
        if request.path == "/version":
            return Answer(200, [self.version]) if self.version else refusal(404, "no /version")
        self.requests.append(request)
        made = self._right_answer(request)
        with self._lock:
            modes = ("*", request.mode, "lists" if request.mode != "watch" else "")
            rule = next((rule for rule in self._rules if rule[0] in modes
                         and rule[1] in ("*", request.kind)), None)
            if rule:
                rule[3] -= 1
                if rule[3] <= 0:
                    self._rules.remove(rule)
        return rule[2](self, made) if rule else made

    def _right_answer(self, request):
        if not self._is_known(request):
            return refusal(401, "Unauthorized")
        if request.kind is None:
            return refusal(404, "the server could not find the requested resource")
        if request.kind in self.forbidden:
            return refusal(403, f'{request.path} is forbidden: User "fake" cannot list resource')
        return getattr(self, f"_{request.mode}")(request)

    def _is_known(self, request):
        if self.tokens is None and self.users is None:
            return True
        return request.token in (self.tokens or ()) or request.user in (self.users or ())

    def _list(self, request):
        store, token = self.store, request.query.get("continue")
        begin = None
        version, items = store.snapshot(request.kind, request.query)
        if token:
            try:
                begin, snapshot = json.loads(base64.b64decode(token.removeprefix("+/&")))
            except ValueError:
                return refusal(400, f"continue key is not valid: {token}")
            if not self.live_pages:
                if (request.kind, snapshot) not in store.pages:
                    return refusal(410, "The provided continue parameter is too old")
                version, items = store.pages[request.kind, snapshot]
        elif not self.live_pages:
            store.pages[request.kind, version] = version, items
        left = [one for one in items if begin is None or one["metadata"]["name"] > begin]
        size = min(self.page, int(request.query.get("limit", 1 << 30)))
        page, rest = left[:size], left[size:]
        metadata = {"resourceVersion": str(version)}
        if rest:
            said = json.dumps([page[-1]["metadata"]["name"], version]).encode()
            metadata["continue"] = "+/&" + base64.b64encode(said).decode()  # opaque to clients
        bare = [{name: value for name, value in one.items() if name not in ("kind", "apiVersion")}
                for one in page]
        text = json.dumps({"kind": request.kind + "List", "apiVersion": "v1", "metadata": metadata,
                           "items": bare})
        return Answer(200, [text.encode()])

    def _watchlist(self, request):
        if isinstance(self.streams_lists, int) and not isinstance(self.streams_lists, bool):
            return refusal(self.streams_lists, "sendInitialEvents: Forbidden: is off")
        wanted = int(request.query.get("resourceVersion") or 0)
        if self.streams_lists == "ignored":
            return self._watch(request)
        with self.store.stopped():
            version, items = self.store.snapshot(request.kind, request.query)
        if wanted > version:
            return refusal(504, f"Too large resource version: {wanted}, current: {version}")
        first = [line("ADDED", one) for one in items]
        first.append(line("BOOKMARK", bookmark(request.kind, version, {END_OF_LIST: "true"})))
        return Answer(200, self._events(request, version, first), is_stream=True)

    def _watch(self, request):
        version = int(request.query.get("resourceVersion") or 0)
        first = []
        if version == 0:
            version, items = self.store.snapshot(request.kind, request.query)
            first = [line("ADDED", one) for one in items]
        if version < self.store.oldest:
            message = f"too old resource version: {version} ({self.store.oldest})"
            if self.gone_is_status:
                return refusal(410, message)
            return Answer(200, [line("ERROR", status_of(410, message, "Expired"))], is_stream=True)
        return Answer(200, self._events(request, version, first), is_stream=True)

    def _events(self, request, version, first):
        """The lines of a watch from a version on."""
        yield from first
        store = self.store
        ends = time.monotonic() + float(request.query.get("timeoutSeconds", 3600))
        due = time.monotonic() + (self.bookmark_seconds or 1e6)
        while not self.stopping.is_set() and time.monotonic() < ends:
            with store.changed:
                if version < store.oldest:
                    found = None
                else:
                    found = store.since(version, request.kind, request.query)
                    version = max(version, store.version)
                if found == [] and time.monotonic() < due:
                    store.changed.wait(max(0.001, min(due, ends) - time.monotonic()))
                    continue
            if found is None:
                yield line("ERROR", status_of(410, "too old resource version", "Expired"))
                return
            yield from (line(kind, one) for kind, one in found)
            if time.monotonic() >= due:
                due = time.monotonic() + self.bookmark_seconds
                if version == store.version:
                    self.bookmarks += 1
                    yield line("BOOKMARK", bookmark(request.kind, version))


def bookmark(kind, version, annotations=None):
    metadata = {"resourceVersion": str(version)}
    if annotations:
        metadata["annotations"] = annotations
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata}


# --- faults: fault(server, answer) gives the answer that is sent ----------------------------------

def changed(change):
    """`change(server, pieces)` gives other pieces of the body."""
    def fault(server, answer):
        answer.pieces = change(server, answer.pieces)
        return answer
    return fault


def first_bytes(pieces, count):
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return


def cut(after, how=Cut):
    """The connection ends after that many bytes of the body."""
    def change(_server, pieces):
        yield from first_bytes(pieces, after)
        raise how()
    return changed(change)


def hang(after=0):
    """Nothing follows after that many bytes of the body, and nobody says why."""
    def change(server, pieces):
        yield from first_bytes(pieces, after)
        server.stopping.wait()
        raise Cut()
    return changed(change)


def refuse(code, message="fault", **headers):
    return lambda _server, _answer: refusal(
        code, message, {name.replace("_", "-"): value for name, value in headers.items()})


def say(*lines, after=0):
    """These lines come after so many others."""
    def change(_server, pieces):
        for count, piece in enumerate(pieces):
            if count == after:
                yield from lines
            yield piece
    return changed(change)


def instead(body):
    """A whole answer with this body."""
    return lambda _server, _answer: Answer(200, [body])


def replaced(count, other):
    """The piece of that number is `other(piece)`."""
    def change(_server, pieces):
        for number, piece in enumerate(pieces):
            yield other(piece) if number == count else piece
    return changed(change)


def split(size):
    """Pieces of that many bytes each."""
    def change(_server, pieces):
        for piece in pieces:
            for begin in range(0, len(piece), size):
                yield piece[begin:begin + size]
    return changed(change)


def doubled():
    def change(_server, pieces):
        for piece in pieces:
            yield piece
            yield piece
    return changed(change)


def swapped():
    """Each two events of a watch come in the wrong order; bookmarks keep their place."""
    def change(_server, pieces):
        held = None
        for piece in pieces:
            if b'"BOOKMARK"' in piece[:20] or held is not None:
                yield piece
                if held is not None:
                    yield held
                held = None
            else:
                held = piece
    return changed(change)
