"""Questions to a name server, from any network namespace."""

import socket
import struct

import lib_net

KINDS = {"A": 1, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
NAMES = {number: name for name, number in KINDS.items()}
CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def reverse(address):
    if ":" in address:
        digits = socket.inet_pton(socket.AF_INET6, address).hex()
        return ".".join(reversed(digits)) + ".ip6.arpa."
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa."


def _packed_name(name):
    labels = [label for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def _name(data, at):
    """The name, and where it ends."""
    labels = []
    end = None
    while data[at]:
        if data[at] >= 0xc0:
            end = end or at + 2
            at = struct.unpack("!H", data[at:at + 2])[0] & 0x3fff
            continue
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels) + ".", end or at + 1


def _text(data, at, kind, length):
    if kind == KINDS["A"]:
        return socket.inet_ntop(socket.AF_INET, data[at:at + 4])
    if kind == KINDS["AAAA"]:
        return socket.inet_ntop(socket.AF_INET6, data[at:at + 16])
    if kind in (KINDS["CNAME"], KINDS["PTR"]):
        return _name(data, at)[0]
    if kind == KINDS["SRV"]:
        numbers = struct.unpack("!HHH", data[at:at + 6])
        return " ".join(map(str, numbers)) + " " + _name(data, at + 6)[0]
    return data[at:at + length].hex()


def _read(data):
    code = CODES.get(data[3] & 15, data[3] & 15)
    questions, answers = struct.unpack("!HH", data[4:8])
    at = 12
    for _ in range(questions):
        at = _name(data, at)[1] + 4
    found = []
    for _ in range(answers):
        at = _name(data, at)[1]
        kind, _, _, length = struct.unpack("!HHIH", data[at:at + 10])
        found.append(_text(data, at + 10, kind, length))
        at += 10 + length
    return code, sorted(found)


def query(where, server, name, kind, tcp=False, timeout=2):
    """(code, data of the answers); `name` is a full one."""
    family = 6 if ":" in server else 4
    question = (struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + _packed_name(name) +
                struct.pack("!HH", KINDS[kind], 1))
    stream = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with lib_net.make(where, family, stream, 0, timeout) as sock:
        sock.connect((server, 53))
        if not tcp:
            sock.send(question)
            return _read(sock.recv(65536))
        sock.sendall(struct.pack("!H", len(question)) + question)
        data = b""
        while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
            more = sock.recv(65536)
            assert more, "the server hung up"
            data += more
        return _read(data[2:])
