"""HTTP/1.1 and HTTP/2 below the fake API server, with answers that break off."""

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
import urllib.parse

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from lib_api_store import PATHS


class Cut(Exception):
    """The connection ends here, without a word."""


class Reset(Exception):
    """The stream ends here, its connection goes on where it can (HTTP/2)."""


class Request:
    """What a client asked, and as whom."""

    def __init__(self, method, target, headers, user):
        path, _, query = target.partition("?")
        self.method, self.path, self.headers, self.user = method, path, headers, user
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.token = headers.get("authorization", "").removeprefix("Bearer ")
        self.kind = PATHS.get(path)
        self.time = time.monotonic()
        self.mode = "list"
        if self.query.get("watch") == "1":
            self.mode = "watchlist" if "sendInitialEvents" in self.query else "watch"

    def __repr__(self):
        return f"<{self.mode} {self.kind} {self.query}>"


def abort(sock, reset=False):
    """The peer sees the connection's end, of which TLS has not told it."""
    if reset:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def user_of(sock):
    certificate = sock.getpeercert() or {}
    return next((value for part in certificate.get("subject", ()) for name, value in part
                 if name == "commonName"), None)


def talk(server, sock):
    user = user_of(sock)
    try:
        if sock.selected_alpn_protocol() == "h2":
            Http2(server, sock, user).run()
        else:
            while http1(server, sock, user):
                pass
    except (Cut, Reset):
        abort(sock)


# --- HTTP/1.1 ------------------------------------------------------------------------------------

def http1(server, sock, user):
    """One exchange; false when the client is gone."""
    text = b""
    sock.settimeout(600)
    while b"\r\n\r\n" not in text:
        data = sock.recv(65536)
        if not data:
            return False
        text += data
    sock.settimeout(20)
    first, *rest = text.split(b"\r\n\r\n")[0].decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
    answer = server.answer(Request(method, target, headers, user))
    head = [f"HTTP/1.1 {answer.status} Fake", *(f"{name}: {value}"
                                                for name, value in answer.headers.items())]
    if answer.is_stream:
        head.append("transfer-encoding: chunked")
    sock.sendall("\r\n".join([*head, "", ""]).encode())
    for piece in answer.pieces:
        if piece and answer.is_stream:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        sock.sendall(piece)
    if answer.is_stream:
        sock.sendall(b"0\r\n\r\n")
    return True


# --- HTTP/2 --------------------------------------------------------------------------------------

class Http2:
    """A connection with a thread for each stream."""

    def __init__(self, server, sock, user):
        self.server, self.sock, self.user = server, sock, user
        self.h2 = h2.connection.H2Connection(
            config=h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.may_send = threading.Condition()
        self.gone = set()  # streams
        self.closed = False
        self.frozen = False  # TCP lives, nobody reads or writes

    def flush(self):
        """REQUIRES: may_send is held."""
        data = self.h2.data_to_send()
        if data and not self.frozen:
            self.sock.sendall(data)

    def run(self):
        with self.may_send:
            self.h2.initiate_connection()
            self.flush()
        self.server.http2_connections.append(self)
        try:
            while (data := self.receive()) != b"":
                if data is None or self.frozen:
                    continue
                with self.may_send:
                    for event in self.h2.receive_data(data):
                        self.handle(event)
                    self.flush()
                    self.may_send.notify_all()
        finally:
            with self.may_send:
                self.closed = True
                self.may_send.notify_all()

    def receive(self):
        """None: not yet. A TLS connection is not for two threads at once."""
        if not self.sock.pending():
            select.select([self.sock], [], [])
        with self.may_send:
            self.sock.settimeout(0)
            try:
                return self.sock.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return None
            finally:
                self.sock.settimeout(20)

    def handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.server.spawn(self.serve, event.stream_id, dict(event.headers))
        elif isinstance(event, h2.events.StreamReset):
            self.gone.add(event.stream_id)

    def say_goodbye(self):
        """Streams go on, new ones are for another connection."""
        with self.may_send:
            machine = self.h2.state_machine
            before = machine.state
            self.h2.close_connection(last_stream_id=self.h2.highest_inbound_stream_id)
            machine.state = before  # h2 ends a connection with GOAWAY, the protocol does not
            self.flush()

    def serve(self, stream, headers):
        try:
            self.exchange(stream, Request(headers[":method"], headers[":path"], headers, self.user))
        except Cut:
            abort(self.sock)
        except (Reset, h2.exceptions.ProtocolError, KeyError, OSError):
            with self.may_send, contextlib.suppress(h2.exceptions.ProtocolError, KeyError,
                                                      OSError):
                self.h2.reset_stream(stream, 2)
                self.flush()

    def exchange(self, stream, request):
        answer = self.server.answer(request)
        with self.may_send:
            self.h2.send_headers(stream, [(":status", str(answer.status)), *answer.headers.items()])
            self.flush()
        for piece in answer.pieces:
            while piece and not self.is_over(stream):
                piece = self.send_part(stream, piece)
            if self.is_over(stream):
                return
        with self.may_send:
            self.h2.end_stream(stream)
            self.flush()

    def is_over(self, stream):
        return self.closed or stream in self.gone

    def send_part(self, stream, piece):
        """What is left to send."""
        with self.may_send:
            size = min(len(piece), self.h2.local_flow_control_window(stream),
                       self.h2.max_outbound_frame_size)
            if size == 0:
                self.may_send.wait(1)
                return piece
            self.h2.send_data(stream, piece[:size])
            self.flush()
        return piece[size:]
