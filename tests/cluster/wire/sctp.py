"""As much of SCTP (RFC 9260) as it takes to knock: INIT, and INIT ACK with a name in its cookie (no kernel needed)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

PROTOCOL = 132
_INIT, _INIT_ACK = 1, 2
_STATE_COOKIE = 7
_HEADER = struct.Struct("!HHI")
_CHUNK = struct.Struct("!BBHIIHHI")
_TAG = 0x0A11CE


@dataclass(frozen=True)
class Packet:
    """An INIT (``answer`` is empty), or an INIT ACK with the name of who answers."""

    source_port: int
    target_port: int
    answer: str = ""

    def pack(self) -> bytes:
        cookie = _parameter(self.answer) if self.answer else b""
        kind = _INIT_ACK if self.answer else _INIT
        chunk = _CHUNK.pack(kind, 0, _CHUNK.size + len(cookie), _TAG, 65535, 1, 1, 1) + cookie
        # An INIT's verification tag is 0; every other packet has the one that the other side chose.
        head = _HEADER.pack(self.source_port, self.target_port, _TAG if self.answer else 0)
        checksum = struct.pack("<I", _crc32c(head + bytes(4) + chunk))
        return head + checksum + chunk


def unpack(data: bytes) -> Packet | None:
    """The packet, without its IP header; None where it is neither of the two."""
    if len(data) < _HEADER.size + 4 + _CHUNK.size:
        return None
    source_port, target_port, _ = _HEADER.unpack_from(data)
    kind, _, length, *_ = _CHUNK.unpack_from(data, _HEADER.size + 4)
    start = _HEADER.size + 4 + _CHUNK.size
    if kind == _INIT:
        return Packet(source_port, target_port)
    if kind != _INIT_ACK or length <= _CHUNK.size:
        return None
    size = struct.unpack_from("!HH", data, start)[1] - 4
    return Packet(source_port, target_port, data[start + 4 : start + 4 + size].decode())


def ports(data: bytes) -> tuple[int, int]:
    """Source and target port of the packet that begins with ``data``."""
    source_port, target_port = struct.unpack_from("!HH", data)
    return source_port, target_port


def _parameter(name: str) -> bytes:
    value = name.encode()
    return struct.pack("!HH", _STATE_COOKIE, len(value) + 4) + value + bytes(-len(value) % 4)


def _table() -> tuple[int, ...]:
    values = []
    for start in range(256):
        value = start
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        values.append(value)
    return tuple(values)


_CRC = _table()


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF
