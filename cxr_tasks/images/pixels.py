"""Pixels, defined once: from the bytes of an image file to the square of grey values a model sees.

TensorFlow ops only, so that the same code runs in ``prepare``, in ``tf.data`` and inside the served graph, and gives
the same bytes in all of them. To that end every step is exact (integer arithmetic) or one single kernel whose
result is rounded to uint8: the graph optimiser may regroup floating-point products, and does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.graph.exif import int64
from cxr_tasks.images.graph.headers import Headers, read_headers
from cxr_tasks.images.graph.jpeg import whole_jpeg
from cxr_tasks.images.graph.problems import problem_words
from cxr_tasks.images.rules import ALL_BITS_COUNT, COLOURED_WORDS, MOST_COLOURED, MOST_TINT, RequestLimits

#: Bits that the values of a 16-bit PNG may take; fewer than 8 are shown as 8.
DEEP_BITS = tuple(range(8, 17))

#: ITU-R BT.601 luma in 1/65536, the weights and the rounding of Pillow's ``convert("L")``.
LUMA = (19595, 38470, 7471)
LUMA_SHIFT = 16


#: Pixels whose luma is worked out at a time: a large picture in colour then takes little more memory than a grey one.
STRIP_PIXELS = 4_000_000


class Grey(NamedTuple):
    """A picture in grey, upright."""

    levels: tf.Tensor
    """uint8 ``(height, width, 1)``, or float32 in [0, 255] of a file with 16 bits a value."""
    coloured: tf.Tensor
    """float32 scalar: the share of pixels whose red, green and blue differ by more than ``MOST_TINT`` of 255."""


def decode_grey(image_bytes: tf.Tensor) -> tf.Tensor:
    """Grey values of one image file, float32 ``(height, width, 1)`` in [0, 255], upright.

    Reads JPEG (baseline and progressive), PNG (grey of 2 to 16 bits, palette, RGB; an alpha channel is dropped) and
    plain BMP. Colour becomes luma (ITU-R BT.601), to the bit as Pillow rounds it for 8-bit images. 16-bit values are
    shown over the whole bits that the highest of them takes (8 at least), or over all 16 where an ``sBIT`` chunk behind
    the header says so, as in the PNG of a DICOM file; their fractions are kept until the resize. The picture is turned
    as the EXIF orientation in the file says.

    Args:
        image_bytes: string scalar, the content of the file.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are of no file that is taken, or of a broken one (when run).
    """
    header = _sound_header(image_bytes)
    return tf.cond(
        header.is_deep,
        lambda: _upright(_deep_grey(image_bytes), header).levels,
        lambda: tf.cast(_upright(_plain_grey(image_bytes, header), header).levels, tf.float32),
    )


def to_square(grey: tf.Tensor, spec: PixelSpec) -> tf.Tensor:
    """``grey`` (uint8 or float32 ``(height, width, 1)`` in [0, 255]) as uint8 ``(size, size, 1)``, antialiased.

    ``spec.fit == "crop"`` first cuts the longer side around the centre; ``"stretch"`` keeps the whole picture.
    """
    if spec.fit == "crop":
        shape = tf.shape(grey)
        side = tf.minimum(shape[0], shape[1])
        top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
        grey = grey[top : top + side, left : left + side]
    size = tf.constant([spec.size_px, spec.size_px])
    # What ``tf.image.resize`` runs for "bilinear, antialiased"; that one makes float32 of all pixels first.
    resized = tf.raw_ops.ScaleAndTranslate(
        images=grey[None],
        size=size,
        scale=tf.cast(size, tf.float32) / tf.cast(tf.shape(grey)[:2], tf.float32),
        translation=tf.zeros([2]),
        kernel_type="triangle",
        antialias=True,
    )[0]
    pixels = tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(pixels, (spec.size_px, spec.size_px, 1))


def standard_pixels(image_bytes: tf.Tensor, spec: PixelSpec) -> tf.Tensor:
    """The pixels of one image file as they are stored and served: uint8 ``(size, size, 1)``.

    Raises:
        tf.errors.InvalidArgumentError: As ``decode_grey``, and for a picture in colours (when run).
    """
    pixels, coloured = decoded_square(image_bytes, _sound_header(image_bytes), spec)
    with tf.control_dependencies([tf.debugging.Assert(coloured <= MOST_COLOURED, [COLOURED_WORDS, coloured])]):
        return tf.identity(pixels)


def decoded_square(image_bytes: tf.Tensor, header: Headers, spec: PixelSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """uint8 ``(size, size, 1)`` of one file whose ``header`` (scalars) is sound, and its share of coloured pixels.

    Raises:
        tf.errors.InvalidArgumentError: The decoder refuses its data, or they are not all there (when run).
    """

    def square(grey: Grey) -> tuple[tf.Tensor, tf.Tensor]:
        grey = _upright(grey, header)
        return to_square(grey.levels, spec), grey.coloured

    return tf.cond(
        header.is_deep,
        lambda: square(_deep_grey(image_bytes)),
        lambda: square(_plain_grey(image_bytes, header)),
    )


def unit_scale(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 grey values as the float32 in [0, 1] that every network takes."""
    return tf.cast(pixels, tf.float32) * (1.0 / 255.0)


def _sound_header(image_bytes: tf.Tensor) -> Headers:
    """The header (scalars) of one file, once it is known to be one that is taken."""
    contents = tf.convert_to_tensor(image_bytes)[None]
    headers = read_headers(contents, RequestLimits())
    reason = problem_words(contents, headers, RequestLimits())[0]
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(reason, ""), [reason])]):
        return Headers(*(tf.identity(header[0]) for header in headers))


def _plain_grey(image_bytes: tf.Tensor, header: Headers) -> Grey:
    # Each op takes further formats too, whatever its name says: what it is given must be known by its first bytes.
    decoded = tf.cond(
        header.is_png,
        lambda: tf.io.decode_png(image_bytes, channels=0),
        lambda: tf.cond(
            header.is_bmp,
            # The decoder takes no byte behind the pixels; some writers fill their files up.
            lambda: tf.io.decode_bmp(tf.strings.substr(image_bytes, int64(0), header.pixels_end), channels=0),
            lambda: whole_jpeg(image_bytes, header),
        ),
    )
    return _grey(decoded, tf.constant(MOST_TINT, tf.uint8), lambda strip: _luma(tf.cast(strip, tf.int32)))


def _deep_grey(image_bytes: tf.Tensor) -> Grey:
    decoded = tf.io.decode_png(image_bytes, channels=0, dtype=tf.uint16)
    whites = tf.constant([(1 << n_bits) - 1 for n_bits in DEEP_BITS], tf.int32)
    most = tf.gather(MOST_TINT * whites // 255, _place_of_bits(decoded, image_bytes))
    grey = _grey(decoded, tf.cast(most, tf.uint16), lambda strip: _luma(tf.cast(strip, tf.int64)))
    levels = tf.cast(grey.levels, tf.int64)
    place = _place_of_bits(grey.levels, image_bytes)
    # Of 16 bits 65535 = 257 x 255: one division by 257. Others are multiplied first, so that white is 255.
    factor = tf.gather(tf.constant([1, *[255] * (len(DEEP_BITS) - 2), 1], tf.int64), place)
    divisor = tf.gather(tf.constant([1, *[(1 << n) - 1 for n in DEEP_BITS[1:-1]], 257], tf.int64), place)
    # Whole part and rest apart: a product with 1/257 alone would leave 255 a hair off, and 16-bit files a trace of
    # their own where the resize rounds. The graph optimiser makes a product of a plain division.
    whole, rest = (levels * factor) // divisor, (levels * factor) % divisor
    fraction = tf.cast(rest, tf.float32) * (1.0 / tf.cast(divisor, tf.float32))
    return Grey(tf.cast(whole, tf.float32) + fraction, grey.coloured)


def _place_of_bits(values: tf.Tensor, image_bytes: tf.Tensor) -> tf.Tensor:
    """Which of ``DEEP_BITS`` the range of uint16 ``values`` has, by the rule of ``images.grey_range``.

    Whole bits of the highest one, unless the file says that all 16 count.
    """
    beyond = tf.constant([1 << n_bits for n_bits in DEEP_BITS[:-1]], tf.int32)
    needed = tf.reduce_sum(tf.cast(tf.cast(tf.reduce_max(values), tf.int32) >= beyond, tf.int32))
    counts_all = tf.equal(tf.strings.substr(tf.strings.join([image_bytes, b"\0" * 64]), 37, 5), ALL_BITS_COUNT)
    return tf.where(counts_all, len(DEEP_BITS) - 1, needed)


def _upright(grey: Grey, header: Headers) -> Grey:
    """The picture turned as its EXIF orientation says (Exif 2.32, 4.6.4 A): over the diagonal first, then mirrored."""

    def turned() -> tf.Tensor:
        code = header.orientation
        lain = tf.cond(code >= 5, lambda: tf.transpose(grey.levels, (1, 0, 2)), lambda: grey.levels)
        is_upside_down = (code == 3) | (code == 4) | (code == 7) | (code == 8)
        is_mirrored = (code == 2) | (code == 3) | (code == 6) | (code == 7)
        return tf.raw_ops.Reverse(tensor=lain, dims=tf.stack([is_upside_down, is_mirrored, False]))

    levels = tf.cond(header.orientation > 1, turned, lambda: grey.levels)
    return Grey(tf.ensure_shape(levels, (None, None, 1)), grey.coloured)


def _grey(decoded: tf.Tensor, most: tf.Tensor, luma: Callable[[tf.Tensor], tf.Tensor]) -> Grey:
    """``decoded`` (``(height, width, channels)``) in grey of the same type; ``most`` is ``MOST_TINT`` in its values."""
    decoded = tf.ensure_shape(decoded, (None, None, None))
    levels, coloured = tf.cond(
        tf.shape(decoded)[-1] < 3,
        lambda: (decoded[..., :1], tf.constant(0.0)),
        lambda: _grey_of_colour(decoded, most, luma),
    )
    return Grey(levels, coloured)


def _grey_of_colour(
    decoded: tf.Tensor, most: tf.Tensor, luma: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Luma and the share of coloured pixels, a strip of rows at a time."""
    height, width = tf.shape(decoded)[0], tf.shape(decoded)[1]
    n_rows = tf.maximum(STRIP_PIXELS // width, 1)
    n_strips = -(-height // n_rows)

    def one(number: tf.Tensor, strips: tf.TensorArray, n_coloured: tf.Tensor):
        rgb = decoded[number * n_rows : (number + 1) * n_rows, :, :3]
        red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
        spread = tf.maximum(tf.maximum(red, green), blue) - tf.minimum(tf.minimum(red, green), blue)
        n_new = tf.math.count_nonzero(spread > most)
        return number + 1, strips.write(number, tf.cast(luma(rgb), decoded.dtype)), n_coloured + n_new

    strips = tf.TensorArray(decoded.dtype, n_strips, infer_shape=False, element_shape=(None, None, 1))
    _, strips, n_coloured = tf.while_loop(
        lambda number, *_: number < n_strips,
        one,
        (tf.constant(0), strips, tf.constant(0, tf.int64)),
        parallel_iterations=1,
    )
    return strips.concat(), tf.cast(n_coloured / tf.cast(height * width, tf.int64), tf.float32)


def _luma(rgb: tf.Tensor) -> tf.Tensor:
    # 16 bits of value and 16 of weight do not fit in int32, hence int64 for those.
    red, green, blue = (rgb[..., channel : channel + 1] * weight for channel, weight in enumerate(LUMA))
    half = tf.constant(1 << (LUMA_SHIFT - 1), rgb.dtype)
    return tf.bitwise.right_shift(red + green + blue + half, tf.constant(LUMA_SHIFT, rgb.dtype))
