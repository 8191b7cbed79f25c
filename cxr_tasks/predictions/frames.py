"""Frames between a server and the writer of its log: a JSON header, then the bytes of the images. No pickle."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

_LENGTHS = struct.Struct(">II")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One answered request; ``probabilities`` and ``decisions`` have a row per image and a column per finding."""

    time_s: float
    request_id: str
    model: str
    version: int
    label: str
    logged_by: str
    findings: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]
    decisions: tuple[tuple[bool, ...], ...]
    refused: tuple[bool, ...]
    typicality: tuple[float, ...]
    images: tuple[bytes, ...]
    n_lost_before: int = 0

    def write(self, stream: IO[bytes]) -> None:
        header = {name: getattr(self, name) for name in self.__slots__ if name != "images"}
        content = json.dumps({**header, "sizes": [len(image) for image in self.images]}).encode()
        stream.write(_LENGTHS.pack(len(content), len(self.images)))
        stream.write(content)
        for image in self.images:
            stream.write(image)
        stream.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSettings:
    """The first message: where and how the log is written."""

    folder: str
    days: int
    max_bytes: int
    flush_s: float = 10.0
    left_out: tuple[str, ...] = ()
    """sha256 of images that are nobody's: those of smoke tests."""

    def write(self, stream: IO[bytes]) -> None:
        content = json.dumps(asdict(self)).encode()
        stream.write(_LENGTHS.pack(len(content), 0) + content)
        stream.flush()

    @classmethod
    def read(cls, stream: IO[bytes]) -> WriterSettings | None:
        """The settings; None where the input ends before them."""
        header = _header(stream)
        return None if header is None else cls(**{**header[0], "left_out": tuple(header[0]["left_out"])})


def read_frames(stream: IO[bytes]) -> Iterator[Frame]:
    """The frames, until the input ends, be it in the middle of one."""
    while (header_read := _header(stream)) is not None:
        header, _ = header_read
        images = tuple(stream.read(size) for size in header.pop("sizes"))
        yield Frame(
            **{
                **header,
                "findings": tuple(header["findings"]),
                "probabilities": tuple(tuple(map(float, row)) for row in header["probabilities"]),
                "decisions": tuple(tuple(map(bool, row)) for row in header["decisions"]),
                "refused": tuple(header["refused"]),
                "typicality": tuple(math.nan if value is None else float(value) for value in header["typicality"]),
                "images": images,
            }
        )


def _header(stream: IO[bytes]) -> tuple[dict[str, Any], int] | None:
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    n_header, n_images = _LENGTHS.unpack(lengths)
    content = stream.read(n_header)
    return (json.loads(content), n_images) if len(content) == n_header else None
