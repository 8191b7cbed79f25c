"""How many fields a serialized message has, told before it is parsed: one of two bytes can take forty in memory."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

#: Fields of one message, those of the messages in it included. Each string of a tensor is one, packed numbers are one.
MOST_FIELDS = (1 << 20) + (1 << 16)
#: Smaller messages are not looked at: they take little, whatever they hold.
SMALL_BYTES = 1 << 20
_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5
_SKIPPED = {_EIGHT: 8, _FOUR: 4}


def has_too_many_fields(kind: Descriptor, raw: bytes, most: int = MOST_FIELDS) -> bool:
    """Whether ``raw``, a serialized ``kind``, has more than ``most`` fields; of what is none the readable begin counts.

    Takes half a microsecond a field, and no look into the values: a batch of images has few.
    """
    n_left = most
    waiting: list[tuple[Descriptor, int, int]] = [(kind, 0, len(raw))] if len(raw) > SMALL_BYTES else []
    while waiting:
        described, at, end = waiting.pop()
        fields = described.fields_by_number
        while at < end:
            n_left -= 1
            if n_left < 0:
                return True
            tag, at = _varint(raw, at, end)
            wire_type = tag & 7
            if wire_type == _VARINT:
                _, at = _varint(raw, at, end)
            elif wire_type == _SIZED:
                size, at = _varint(raw, at, end)
                field = fields.get(tag >> 3)
                if field is not None and field.message_type is not None:
                    waiting.append((field.message_type, at, min(at + size, end)))
                at += size
            elif wire_type in _SKIPPED:
                at += _SKIPPED[wire_type]
            else:
                break  # A group, or nothing: the parser says what it thinks of it.
    return False


def _varint(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at ``at``, and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
