"""A message nested deeper than protobuf reads in, the same message without what is too deep out.

JSON of any depth is read and then refused by the rules of the API, in their words. Protobuf stops at a hundred messages
inside each other and says only that it cannot read them; cut short, such a message meets the same rules.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError

KEPT_LEVELS = 60
"""Messages inside each other that are kept: many more than any rule of the API lets pass."""

_VARINT, _64_BIT, _BYTES, _32_BIT = 0, 1, 2, 5
_LENGTHS = {_64_BIT: 8, _32_BIT: 4}
_LONGEST_VARINT = 10


def cut_short(raw: bytes, kind: Descriptor, *, levels: int = KEPT_LEVELS) -> bytes:
    """Empty the messages that lie deeper than some level.

    Args:
        raw: A message.
        kind: What message it is.
        levels: Messages inside each other that are kept.

    Raises:
        DecodeError: The bytes are no message.
    """
    cut = bytearray()
    at = 0
    while at < len(raw):
        begin = at
        tag, at = _varint(raw, at)
        wire_type = tag & 7
        if wire_type == _VARINT:
            _, at = _varint(raw, at)
        elif wire_type in _LENGTHS:
            at += _LENGTHS[wire_type]
        elif wire_type == _BYTES:
            length, start = _varint(raw, at)
            at = start + length
            field = kind.fields_by_number.get(tag >> 3)
            if at <= len(raw) and field is not None and field.message_type is not None:
                inner = cut_short(raw[start:at], field.message_type, levels=levels - 1) if levels else b""
                cut += _written(tag) + _written(len(inner)) + inner
                continue
        else:
            raise DecodeError(f"a field of wire type {wire_type}")
        if at > len(raw):
            raise DecodeError("a field that ends behind its message")
        cut += raw[begin:at]
    return bytes(cut)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(raw[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise DecodeError("a number that does not end")


def _written(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
