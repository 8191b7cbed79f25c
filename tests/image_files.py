"""Image files of every format that some decoder here would take, and of every way in which one is not taken."""

from __future__ import annotations

import io
import re
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(picture: Image.Image, file_format: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def smooth(width: int = 120, height: int = 100, seed: int = 0) -> Image.Image:
    """A grey picture without sharp edges."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (7, 7), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def exif(orientation: int, *, big_endian: bool = True, kind: int = 3) -> bytes:
    """EXIF data whose second entry is the orientation."""
    order = ">" if big_endian else "<"
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    entries = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0") + struct.pack(
        order + "HHI4s", 0x0112, kind, 1, value
    )
    head = (b"MM" if big_endian else b"II") + struct.pack(order + "HI", 42, 8)
    return b"Exif\0\0" + head + struct.pack(order + "H", 2) + entries + struct.pack(order + "I", 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header says this size, with next to no data behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def jpeg_that_claims(width: int, height: int) -> bytes:
    content = bytearray(encoded(smooth(), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def late_exif_png(orientation: int) -> bytes:
    """A PNG whose eXIf chunk stands behind its pixels."""
    content = encoded(smooth(), "PNG")
    return content[:-12] + chunk(b"eXIf", exif(orientation)[6:]) + content[-12:]


def scan_places(content: bytes) -> list[int]:
    """Where the scans of a JPEG begin, each with the tables before it."""
    return [found.start() for found in re.finditer(rb"(\xff\xc4..(?:(?!\xff).)*)*\xff\xda", content, re.DOTALL)]


def by_component_jpeg(n_scans: int = 3) -> bytes:
    """A picture in colour whose components come one after the other, and of them the first ``n_scans``."""
    plain, flat = (encoded(one, "JPEG") for one in (smooth(), Image.new("L", (120, 100), 128)))
    frame, scan = plain.index(b"\xff\xc0"), plain.index(b"\xff\xda")
    size = 2 + struct.unpack(">H", plain[frame + 2 : frame + 4])[0]
    of_colour = b"\xff\xc0\x00\x11" + plain[frame + 4 : frame + 9] + b"\x03"
    of_colour += b"".join(bytes([one, 0x11, 0]) for one in (1, 2, 3))
    scans = [
        b"\xff\xda\x00\x08\x01" + bytes([number]) + of[of.index(b"\xff\xda") + 6 : -2]
        for number, of in ((1, plain), (2, flat), (3, flat))
    ]
    return plain[:frame] + of_colour + plain[frame + size : scan] + b"".join(scans[:n_scans]) + b"\xff\xd9"


def scan_bomb(n_scans: int = 5000, side: int = 8000) -> bytes:
    """A small progressive JPEG whose last, empty scan is there so many times; each is a pass over all pixels."""
    content = encoded(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last = scan_places(content)[-1]
    return content[:-2] + content[last:-2] * n_scans + content[-2:]


GREY, RGB = smooth(), smooth().convert("RGB")
ANIMATION = {"save_all": True, "append_images": [smooth(seed=1), smooth(seed=2)]}
_JPEG, _PNG = encoded(GREY, "JPEG"), encoded(GREY, "PNG")


def filled_jpeg() -> bytes:
    """Bytes of filling (0xFF) before a marker, which the standard allows."""
    at = _JPEG.index(b"\xff\xdb")
    return _JPEG[:at] + b"\xff" * 5 + _JPEG[at:]


def far_frame_jpeg() -> bytes:
    """So many comments before the frame that its header is far behind the head of the file."""
    comment = b"\xff\xfe" + struct.pack(">H", 60) + b"c" * 58
    return _JPEG[:2] + comment * 100 + _JPEG[2:]


def coloured(share: float, file_format: str = "PNG") -> bytes:
    """A grey picture with a red mark on ``share`` of it."""
    picture = smooth(100, 100).convert("RGB")
    side = round((share * 10_000) ** 0.5)
    picture.paste((255, 0, 0), (10, 10, 10 + side, 10 + side))
    return encoded(picture, file_format)


def colour_map() -> Image.Image:
    """A grey picture through a map from blue to red."""
    levels = np.asarray(GREY)
    return Image.fromarray(np.stack([levels, np.full_like(levels, 60), 255 - levels], axis=-1))


TAKEN = {
    "JPEG grey": _JPEG,
    "JPEG RGB": encoded(RGB, "JPEG"),
    "JPEG progressive": encoded(GREY, "JPEG", progressive=True),
    "JPEG progressive RGB": encoded(RGB, "JPEG", progressive=True),
    "JPEG by component": by_component_jpeg(),
    "JPEG with restarts": encoded(GREY, "JPEG", restart_marker_blocks=2),
    "JPEG with bytes behind its end": _JPEG + b"\0" * 64 + b"made by a scanner",
    "JPEG with filling": filled_jpeg(),
    "JPEG with a far frame": far_frame_jpeg(),
    "JPEG middle grey": encoded(Image.new("L", (80, 80), 128), "JPEG"),
    "JPEG upright": encoded(GREY, "JPEG", exif=exif(1)),
    "PNG grey": _PNG,
    "PNG RGB": encoded(RGB, "PNG"),
    "PNG RGBA": encoded(RGB.convert("RGBA"), "PNG"),
    "PNG palette of grey": encoded(GREY.convert("P"), "PNG"),
    "PNG 16 bits": encoded(Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257), "PNG"),
    "PNG with bytes behind its end": _PNG + b"\0" * 64,
    "BMP grey": encoded(GREY, "BMP"),
    "BMP RGB": encoded(RGB, "BMP"),
    "a small mark": coloured(0.01),
}
for _orientation in range(1, 9):
    TAKEN[f"JPEG turned {_orientation}"] = encoded(
        GREY, "JPEG", exif=exif(_orientation, big_endian=_orientation % 2 == 0)
    )
    TAKEN[f"PNG turned {_orientation}"] = encoded(GREY, "PNG", exif=exif(_orientation, kind=3 + _orientation % 2))
    TAKEN[f"PNG turned late {_orientation}"] = late_exif_png(_orientation)
TAKEN["JPEG turned by nonsense"] = encoded(GREY, "JPEG", exif=exif(9))

#: The first of several scans, as a connection that broke between two leaves them.
_SCANS_LEFT = {
    f"{name} with {n} of its scans": TAKEN[name][:place] + b"\xff\xd9"
    for name in ("JPEG progressive", "JPEG progressive RGB")
    for n, place in enumerate(scan_places(TAKEN[name]))
    if n
}

#: name -> content and a part of what is said of it by the graph.
REFUSED = {
    "nothing": (b"", "found 0 bytes"),
    "text": (b"<!DOCTYPE html>", "an unknown file that begins with 3c 21 44"),
    "GIF": (encoded(GREY, "GIF"), "a GIF file"),
    "GIF animated": (encoded(GREY, "GIF", **ANIMATION), "a GIF file that begins with 47 49 46 38"),
    "WebP": (encoded(RGB, "WEBP"), "a WebP file that begins with 52 49 46 46"),
    "WebP lossless": (encoded(RGB, "WEBP", lossless=True), "a WebP file"),
    "WebP animated": (encoded(RGB, "WEBP", **ANIMATION), "a WebP file"),
    "JPEG XL": (b"\xff\x0a\x7a\x1f" + b"\0" * 60, "a JPEG XL file that begins with ff 0a"),
    "JPEG XL in a container": (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + b"\0" * 60, "a JPEG XL file"),
    "JPEG 2000": (encoded(GREY, "JPEG2000"), "a JPEG 2000 file"),
    "AVIF": (encoded(RGB, "AVIF"), "an AVIF file"),
    "TIFF": (encoded(GREY, "TIFF"), "a TIFF file"),
    "DICOM": (b"\0" * 128 + b"DICM" + b"\0" * 64, "an unknown file"),
    "JPEG CMYK": (encoded(GREY.convert("CMYK"), "JPEG"), "found CMYK"),
    "JPEG lossless by its frame": (_JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1), "lossless"),
    "JPEG of two pictures": (_JPEG[:2] + b"\xff\xe2\x00\x0aMPF\0abcd" + _JPEG[2:], "a file of several"),
    "JPEG without pixels": (_JPEG[:2] + b"\xff\xd9" * 20, "header"),
    "JPEG of 0 pixels": (jpeg_that_claims(0, 10), "header"),
    "JPEG cut in its header": (_JPEG[:60], "ends early"),
    "JPEG cut": (_JPEG[: len(_JPEG) // 2], "end early"),
    "JPEG less its end marker": (_JPEG[:-2], "end early"),
    "JPEG cut and ended": (_JPEG[: len(_JPEG) * 2 // 3] + b"\xff\xd9", "end early"),
    "JPEG progressive cut and ended": (
        TAKEN["JPEG progressive"][: len(TAKEN["JPEG progressive"]) * 2 // 3] + b"\xff\xd9",
        "end early",
    ),
    "JPEG cut and ended before another": (_JPEG[: len(_JPEG) * 2 // 3] + b"\xff\xd9" + _JPEG, "end early"),
    "JPEG less a component": (by_component_jpeg(2), "end early"),
    "JPEG less two components": (by_component_jpeg(1), "end early"),
    "JPEG of very many scans": (scan_bomb(200, 64), "end early"),
    "JPEG too large": (jpeg_that_claims(9000, 9000), "9000 x 9000 pixels, at most 64 million"),
    "PNG too large": (png_that_claims(23_000, 23_000), "23000 x 23000 pixels, at most 64 million"),
    "PNG animated": (encoded(GREY, "PNG", **ANIMATION), "a file of several"),
    "PNG animated beside its still": (
        encoded(GREY, "PNG", save_all=True, append_images=[smooth(seed=1)], default_image=True),
        "a file of several",
    ),
    "BMP whose pixels begin in its header": (
        TAKEN["BMP RGB"][:10] + b"\0\0\0\0" + TAKEN["BMP RGB"][14:],
        "header of the file is damaged",
    ),
    "PNG black and white": (encoded(GREY.convert("1"), "PNG"), "black and white"),
    "PNG less its end": (_PNG[:-12], "end early"),
    "PNG cut": (_PNG[: len(_PNG) // 2], "end early"),
    "PNG cut in its header": (_PNG[:30], "ends early"),
    "PNG with a wrong checksum": (_PNG[:-30] + bytes([_PNG[-30] ^ 1]) + _PNG[-29:], "damaged"),
    "BMP of colours by number": (encoded(GREY.quantize(16), "BMP"), "BMP"),
    "BMP cut": (TAKEN["BMP RGB"][:-1], "ends early"),
    "PNG through a colour map": (encoded(colour_map(), "PNG"), "colour map"),
    "JPEG through a colour map": (encoded(colour_map(), "JPEG"), "colour map"),
    "BMP through a colour map": (encoded(colour_map(), "BMP"), "colour map"),
    "palette through a colour map": (encoded(colour_map().quantize(64), "PNG"), "colour map"),
    "a large mark": (coloured(0.04), "colour map"),
}
REFUSED |= {name: (content, "end early") for name, content in _SCANS_LEFT.items()}
