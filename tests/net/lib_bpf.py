"""BPF programs of a stranger: made by hand, without a compiler, and attached by TCX."""

import ctypes
import os
import struct

BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_PROG_QUERY, BPF_OBJ_GET_INFO_BY_FD = 5, 6, 16, 15
BPF_LINK_CREATE, BPF_ENABLE_STATS = 28, 32
BPF_PROG_TYPE_SCHED_CLS = 3
TCX = {"ingress": 46, "egress": 47}
BPF_F_BEFORE, BPF_F_AFTER = 1 << 3, 1 << 4
SYS_BPF = 321
TCX_NEXT = -1

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
    result = _libc.syscall(SYS_BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}: {os.strerror(ctypes.get_errno())}")
    return result, buffer


def count_runs():
    """Programs count their runs until the descriptor is closed."""
    return _bpf(BPF_ENABLE_STATS, struct.pack("=I", 0))[0]


class Program:
    """Lets everything pass to the next."""

    def __init__(self, name):
        instructions = struct.pack("=BBhi", 0xb7, 0, 0, TCX_NEXT) + struct.pack("=BBhi", 0x95, 0, 0, 0)
        code = ctypes.create_string_buffer(instructions)
        licence = ctypes.create_string_buffer(b"GPL")
        self.name = name
        self.fd, _ = _bpf(BPF_PROG_LOAD, struct.pack(
            "=IIQQIIQII16s", BPF_PROG_TYPE_SCHED_CLS, len(instructions) // 8, ctypes.addressof(code),
            ctypes.addressof(licence), 0, 0, 0, 0, 0, name.encode()))

    def attach(self, where, ifindex, direction, flags):
        """As the first (BPF_F_BEFORE) or the last (BPF_F_AFTER) of a link in that namespace."""
        with where.inside():
            link, _ = _bpf(BPF_LINK_CREATE,
                           struct.pack("=IIII", self.fd, ifindex, TCX[direction], flags))
        return Link(link)

    def pin(self, path):
        name = ctypes.create_string_buffer(str(path).encode())
        _bpf(BPF_OBJ_PIN, struct.pack("=QI", ctypes.addressof(name), self.fd))

    def _info(self):
        info = ctypes.create_string_buffer(256)
        _bpf(BPF_OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", self.fd, len(info), ctypes.addressof(info)))
        return info.raw

    @property
    def id(self):
        return struct.unpack_from("=I", self._info(), 4)[0]

    def runs(self):
        """REQUIRES: count_runs()."""
        return struct.unpack_from("=Q", self._info(), 200)[0]

    def close(self):
        os.close(self.fd)


class Link:
    """Attached until it is closed."""

    def __init__(self, fd):
        self.fd = fd

    def close(self):
        os.close(self.fd)


def order(where, ifindex, direction):
    """Ids of the programs there, as they run."""
    ids = (ctypes.c_uint32 * 64)()
    with where.inside():
        _, answer = _bpf(BPF_PROG_QUERY, struct.pack("=IIIIQI", ifindex, TCX[direction], 0, 0,
                                                     ctypes.addressof(ids), len(ids)))
    return list(ids[:struct.unpack_from("=I", answer, 24)[0]])
