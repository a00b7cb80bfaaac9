#!/usr/bin/env -S python3 -B
"""What runs in the pods of the tests of Services.

    lib_pod.py serve NAME PORT...     TCP and UDP, both families: answers who it is and whom it sees
    lib_pod.py ask                    a JSON list of questions on stdin, a JSON list of answers

A question: {"proto": "tcp"|"udp"|"udp-connected", "to": ADDRESS, "port": N}, and as needed
"from": source port, "times": connections one after another (default 1), "patience": seconds.
An answer: {"said": [[NAME, SEEN ADDRESS], ...], "peer": getpeername or sender} or {"error": WHAT}."""

import errno
import json
import selectors
import socket
import sys

ERRORS = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.EHOSTUNREACH: "unreachable",
          errno.ENETUNREACH: "unreachable", errno.EADDRNOTAVAIL: "address taken",
          errno.EPERM: "not permitted", errno.ECONNABORTED: "aborted", errno.ETIMEDOUT: "timeout"}


def serve(name, ports):
    ready = selectors.DefaultSelector()
    for port in ports:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = socket.socket(socket.AF_INET6, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(("::", port))
            if kind == socket.SOCK_STREAM:
                sock.listen(512)
            ready.register(sock, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            answer(name, key.fileobj)


def plain(address):
    return address.removeprefix("::ffff:")


def answer(name, sock):
    if sock.type == socket.SOCK_DGRAM:
        _, peer = sock.recvfrom(2048)
        sock.sendto(f"{name} {plain(peer[0])}".encode(), peer)
        return
    client, peer = sock.accept()
    with client:
        try:
            client.sendall(f"{name} {plain(peer[0])}\n".encode())
        except OSError:
            pass  # the client has gone


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp_once(question):
    with socket.socket(family(question["to"]), socket.SOCK_STREAM) as sock:
        sock.settimeout(question.get("patience", 5))
        if "from" in question:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", question["from"]))
        sock.connect((question["to"], question["port"]))
        peer = sock.getpeername()
        return sock.makefile().read().split(), peer


def udp_once(question):
    with socket.socket(family(question["to"]), socket.SOCK_DGRAM) as sock:
        sock.settimeout(question.get("patience", 5))
        if "from" in question:
            sock.bind(("", question["from"]))
        target = (question["to"], question["port"])
        if question["proto"] == "udp-connected":
            sock.connect(target)
            sock.send(b"?")
        else:
            sock.sendto(b"?", target)
        data, peer = sock.recvfrom(2048)
        return data.decode().split(), peer


def ask_one(question):
    said = []
    try:
        for _ in range(question.get("times", 1)):
            words, peer = (tcp_once if question["proto"] == "tcp" else udp_once)(question)
            said.append(words)
        return {"said": said, "peer": list(peer[:2])}
    except TimeoutError:
        return {"error": "timeout"}
    except OSError as error:
        return {"error": ERRORS.get(error.errno, str(error))}


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2], [int(port) for port in sys.argv[3:]])
    json.dump([ask_one(question) for question in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
