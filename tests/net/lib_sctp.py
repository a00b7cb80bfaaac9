#!/usr/bin/env -S python3 -B
"""SCTP in user space: libusrsctp over raw sockets, for kernels without SCTP sockets.

    lib_sctp.py serve NAME PORT ADDRESS...      says "ready", then answers each message: NAME, peer, size
    lib_sctp.py ask SOURCE ADDRESS PORT SIZE... one association, a message of each size

One process for each network namespace: raw sockets hear of what is others', and would refuse it.
`ask` prints a JSON list of answers, or the name of the error that ended it."""

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
import threading
import time

SCTP, SOL_SCTP, MAX_SEGMENT, FRAGMENT_INTERLEAVE = 132, 132, 0x0e, 0x10
SEGMENT = 1200
PATIENCE_S = 10

lib = ctypes.CDLL("libusrsctp.so.2", use_errno=True)
lib.usrsctp_socket.restype = lib.usrsctp_accept.restype = ctypes.c_void_p
lib.usrsctp_sendv.restype = lib.usrsctp_recvv.restype = ctypes.c_ssize_t


def checked(result):
    if result is None or result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def sockaddr(address, port):
    if ":" in address:
        return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + socket.inet_pton(
            socket.AF_INET6, address) + struct.pack("=I", 0)
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(
        address) + bytes(8)


def address_of(raw):
    family, = struct.unpack_from("=H", raw)
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, raw[8:24])
    return socket.inet_ntop(family, raw[4:8])


class Association:
    def __init__(self, handle):
        self.handle = ctypes.c_void_p(handle)
        value = struct.pack("=II", 0, SEGMENT)
        checked(lib.usrsctp_setsockopt(self.handle, SOL_SCTP, MAX_SEGMENT, value, len(value)))

    @classmethod
    def bound(cls, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = cls(checked(lib.usrsctp_socket(family, socket.SOCK_STREAM, SCTP, None, None, 0, None)))
        name = sockaddr(address, port)
        checked(lib.usrsctp_bind(made.handle, name, len(name)))
        return made

    def connect(self, address, port):
        name = sockaddr(address, port)
        checked(lib.usrsctp_connect(self.handle, name, len(name)))

    def listen(self):
        checked(lib.usrsctp_listen(self.handle, 16))

    def accept(self):
        return Association(checked(lib.usrsctp_accept(self.handle, None, None)))

    def send(self, data):
        checked(lib.usrsctp_sendv(self.handle, data, len(data), None, 0, None, 0, 0, 0))

    def receive(self):
        """One message, b"" at the end, and the address that it came from."""
        data, size = b"", ctypes.c_uint32()
        peer, flags = ctypes.create_string_buffer(28), ctypes.c_int()
        buffer = ctypes.create_string_buffer(1 << 16)
        while True:
            size.value, info, kind = len(peer), ctypes.c_uint32(0), ctypes.c_uint()
            flags.value = 0
            got = checked(lib.usrsctp_recvv(
                self.handle, buffer, ctypes.c_size_t(len(buffer)), peer, ctypes.byref(size), None,
                ctypes.byref(info), ctypes.byref(kind), ctypes.byref(flags)))
            data += buffer.raw[:got]
            if got == 0 or flags.value & socket.MSG_EOR:
                return data, address_of(peer.raw) if got else None

    def close(self):
        lib.usrsctp_close(self.handle)


def answer(name, peer):
    try:
        while (message := peer.receive())[0]:
            data, where = message
            peer.send(f"{name} {where} {len(data)}".encode() + bytes(len(data)))
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
    peer.close()


def answer_all(name, listener):
    while True:
        threading.Thread(target=answer, args=(name, listener.accept()), daemon=True).start()


def serve(name, port, *addresses):
    threads = []
    for address in addresses:
        listener = Association.bound(address, int(port))
        listener.listen()
        threads.append(threading.Thread(target=answer_all, args=(name, listener)))
        threads[-1].start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


def ask(source, address, port, *sizes):
    """[name, the client as seen, size there, size back, the server as seen] for each message."""
    mine = Association.bound(source, 0)
    mine.connect(address, int(port))
    answers = []
    for size in map(int, sizes):
        mine.send(b"x" * size)
        data, where = mine.receive()
        name, seen, there = data.rstrip(b"\0").decode().split()
        answers.append([name, seen, int(there), len(data) - len(data.rstrip(b"\0")), where])
    mine.close()
    return answers


def main():
    lib.usrsctp_init(0, None, None)
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    signal.alarm(PATIENCE_S)  # ends the process, whatever the library waits for
    try:
        print(json.dumps(ask(*sys.argv[2:])), flush=True)
    except OSError as error:
        print(json.dumps(errno.errorcode.get(error.errno, str(error))), flush=True)
    while lib.usrsctp_finish() != 0:  # the association's end is told to the other side
        time.sleep(0.01)
    os._exit(0)  # the library's threads never end


if __name__ == "__main__":
    main()
