"""Amazon's binary event stream framing, ``application/vnd.amazon.eventstream``.

A message is: its length and its headers' length (the prelude), the prelude's CRC32, the headers,
the payload, and the CRC32 of all before it. Numbers are big-endian.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_STRING = 7
_PRELUDE_AND_CRCS = 16


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One framed message whose headers are all strings."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", _PRELUDE_AND_CRCS + len(head) + len(payload), len(head))
    framed = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return framed + struct.pack(">I", crc32(framed))


def event(kind: str, payload: bytes) -> bytes:
    """One event with a JSON payload."""
    return message(
        {":event-type": kind, ":content-type": "application/json", ":message-type": "event"},
        payload,
    )


def _header(name: str, value: str) -> bytes:
    raw_name, raw_value = name.encode(), value.encode()
    return (
        struct.pack(">B", len(raw_name))
        + raw_name
        + struct.pack(">BH", _STRING, len(raw_value))
        + raw_value
    )


RUBBISH = struct.pack(">III", 64, 0, 0xBADBAD) + bytes(52)
"""A message whose checksums are wrong."""
