"""Sockets in any network namespace, from one process; packets built by hand; waiting."""

import contextlib
import ctypes
import fcntl
import http.client
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

RCU_MARK = Path("/run/weir/rcu-expedited")
PATIENCE = 20
CLONE_NEWNET = 0x40000000
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
IP_MTU_DISCOVER, IP_MTU, IP_RECVTTL = 10, 14, 12
IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_RECVHOPLIMIT = 23, 24, 51
DONT_FRAGMENT, MAY_FRAGMENT = 2, 0
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
RTM_NEWLINK, NLM_F_REQUEST_ACK = 16, 5
GSO_AND_GRO = (41, 58, 63, 64)  # IFLA_GSO_MAX_SIZE, GRO; GSO_IPV4_MAX_SIZE, GRO
LINK_MAC, TUNNEL_MAC = bytes.fromhex("eeeeeeeeeeee"), bytes.fromhex("eeeeeeeeee01")
ICMP = {4: 1, 6: 58}
ECHO = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}

libc = ctypes.CDLL(None, use_errno=True)


def run(*command, check=True, **options):
    try:
        return subprocess.run([str(word) for word in command], check=check, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, **options)
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr)
        raise


def die_with_parent():
    libc.prctl(1, signal.SIGKILL)


def wait_for(condition, what, patience=PATIENCE):
    """The condition's first true value."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {patience} s for {what}"
        time.sleep(0.01)
    return value


def end_agent(process, how):
    """By a signal. One that is killed may have been about to set this back, as the next would."""
    process.send_signal(how)
    process.wait(PATIENCE)
    if not RCU_MARK.exists():
        return
    with open("/sys/kernel/rcu_expedited", "w", encoding="ascii") as knob:
        fcntl.flock(knob, fcntl.LOCK_EX)  # no other agent is at it
        if RCU_MARK.exists():
            knob.write("0")
            RCU_MARK.unlink()


@contextlib.contextmanager
def inside(path):
    """This thread is in that network namespace; sockets made here stay in it."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
        yield
    finally:
        libc.setns(before, CLONE_NEWNET)
        os.close(there)
        os.close(before)


def set_gso_size(path, link, size):
    """How large packets of both families a link takes at once; Debian's `ip` cannot set IPv4's.
    path: of its network namespace."""
    attributes = b"".join(struct.pack("=HHI", 8, kind, size) for kind in GSO_AND_GRO)
    with inside(path), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as netlink:
        body = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(link), 0, 0) + attributes
        netlink.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, NLM_F_REQUEST_ACK, 1, 0) +
                     body)
        error = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
    if error:
        raise OSError(error, f"gso_max_size {size} of {link}: {os.strerror(error)}")


class Cgroup:
    """A cgroup of its own at the root of the v2 hierarchy."""

    def __init__(self, name):
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        self.root = Path(next(words[1] for words in mounts if words[2] == "cgroup2"))
        self.path = self.root / f"weir-{name}"
        self.path.mkdir()

    @contextlib.contextmanager
    def inside(self):
        """This process is in it; sockets made here stay in it."""
        own = Path("/proc/self/cgroup").read_text().split("0::/")[1].split("\n")[0]
        try:
            (self.path / "cgroup.procs").write_text("0")
            yield
        finally:
            (self.root / own / "cgroup.procs").write_text("0")

    def remove(self):
        self.path.rmdir()


def make(where, family, kind, protocol=0, timeout=PATIENCE):
    with where.inside():
        made = socket.socket(FAMILY[family], kind, protocol)
    made.settimeout(timeout)
    return made


def listener(where, family, address, port=0):
    made = make(where, family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen(128)
    return made


def connected(where, family, target, source=None):
    made = make(where, family, socket.SOCK_STREAM)
    if source:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(source)
    made.connect(target[:2])
    return made


def transfer(client, server, family, target, size):
    """So many bytes by TCP; who the server sees as its client."""
    sent = os.urandom(size)
    with listener(server, family, target) as listening:
        one = connected(client, family, listening.getsockname())
        other, peer = listening.accept()
    other.settimeout(PATIENCE)
    with one, other:
        thread = threading.Thread(target=one.sendall, args=(sent,))
        thread.start()
        got = b""
        while len(got) < len(sent) and (part := other.recv(1 << 20)):
            got += part
        thread.join(PATIENCE)
    assert got == sent, f"{len(got)} of {len(sent)} bytes came, or others"
    return peer


def datagrams(where, family, address=None, port=0, timeout=PATIENCE):
    made = make(where, family, socket.SOCK_DGRAM, 0, timeout)
    for option in (SO_RCVBUFFORCE, SO_SNDBUFFORCE):
        made.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
    if address:
        made.bind((address, port))
    return made


def icmp_socket(where, family, timeout=PATIENCE):
    return make(where, family, socket.SOCK_RAW, ICMP[family], timeout)


def mtu_discover(sock, family, how):
    if family == 4:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, how)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, how)


def path_mtu(sock, family):
    if family == 4:
        return sock.getsockopt(socket.IPPROTO_IP, IP_MTU)
    return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)


def set_ttl(sock, family, ttl):
    if family == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)


def want_ttl(sock, family):
    if family == 4:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)


def received_ttl(sock):
    """The next datagram, who sent it, and its TTL as it came."""
    data, control, _, peer = sock.recvmsg(65536, 256)
    for _, kind, value in control:
        if kind in (socket.IP_TTL, 52):  # IPV6_HOPLIMIT
            return data, peer, struct.unpack("i", value[:4])[0]
    raise AssertionError("no TTL came with the datagram")


# --- packets by hand -----------------------------------------------------------------------------

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packed(family, address):
    return socket.inet_pton(FAMILY[family], address)


def pseudo(family, source, destination, protocol, length):
    addresses = packed(family, source) + packed(family, destination)
    if family == 4:
        return addresses + struct.pack("!BBH", 0, protocol, length)
    return addresses + struct.pack("!IHBB", length, 0, 0, protocol)


def ip_packet(family, source, destination, protocol, payload, ttl=64):
    if family == 6:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl)
        return head + packed(6, source) + packed(6, destination) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, ttl, protocol, 0)
    head += packed(4, source) + packed(4, destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp_packet(family, source, destination, payload=b"by hand", ports=(4000, 4001)):
    length = 8 + len(payload)
    head = struct.pack("!HHHH", *ports, length, 0)
    check = checksum(pseudo(family, source, destination, 17, length) + head + payload) or 0xffff
    datagram = struct.pack("!HHHH", *ports, length, check) + payload
    return ip_packet(family, source, destination, 17, datagram)


def syn_packet(family, source, destination, ports):
    head = struct.pack("!HHIIHHHH", *ports, 1, 0, 5 << 12 | 2, 65535, 0, 0)
    check = checksum(pseudo(family, source, destination, 6, len(head)) + head)
    return ip_packet(family, source, destination, 6, head[:16] + struct.pack("!H", check) + head[18:])


def frame(family, packet, destination=LINK_MAC, source=bytes.fromhex("020000000001")):
    return destination + source + struct.pack("!H", 0x800 if family == 4 else 0x86dd) + packet


def send_frame(where, data, link="eth0"):
    with where.inside():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((link, 0))
            sock.send(data)


def vxlan(inner, vni=7):
    return struct.pack("!II", 0x08000000, vni << 8) + inner


def echo_request(family, identifier, payload, sequence=1):
    """IPv6 checksums are the kernel's work."""
    head = struct.pack("!BBHHH", ECHO[family], 0, 0, identifier, sequence)
    check = checksum(head + payload) if family == 4 else 0
    return struct.pack("!BBHHH", ECHO[family], 0, check, identifier, sequence) + payload


def next_icmp(sock, family, wanted, what, patience=PATIENCE):
    """The next ICMP message (type, code, identifier, payload) that `wanted` takes; its sender."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            data, peer = sock.recvfrom(65536)
        except TimeoutError:
            break
        message = data[(data[0] & 15) * 4:] if family == 4 else data
        kind, code, _, identifier, _ = struct.unpack("!BBHHH", message[:8])
        if wanted(kind, code, identifier, message[8:]):
            return (kind, code, identifier, message[8:]), peer[0]
    raise AssertionError(f"waited {patience} s for {what}")


# --- the agent's API -----------------------------------------------------------------------------

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def http_get(path, target):
    connection = UnixConnection(path)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, f"{target}: {answer.status} {body}"
        return body
    finally:
        connection.close()
