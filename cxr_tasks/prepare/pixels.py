"""Pixels, defined once: from the bytes of an image file to the square of grey values a model sees.

TensorFlow ops only, so that the same code runs in ``prepare``, in ``tf.data`` and inside the served graph, and gives
the same bytes in all of them. To that end every step is exact (integer arithmetic) or one single kernel whose
result is rounded to uint8: the graph optimiser may regroup floating-point products, and does.
"""

from __future__ import annotations

import tensorflow as tf

from cxr_tasks.contracts.specs import PixelSpec

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
#: Place of the bit depth in a PNG file: 8 bytes signature, 8 of chunk length and name, 4 width, 4 height.
PNG_DEPTH_BYTE = 24
#: Bits that the values of a 16-bit PNG may take; fewer than 8 are shown as 8.
DEEP_BITS = tuple(range(8, 17))
#: From byte 37 of a PNG: a chunk sBIT right behind the header that says that 16 bits are significant (PNG, 11.3.2.3).
ALL_BITS_COUNT = b"sBIT\x10"
#: Images decoded at the same time inside one batch; measured twice as fast as one at a time on two cores.
PARALLEL_DECODES = 16

#: ITU-R BT.601 luma in 1/65536, the weights and the rounding of Pillow's ``convert("L")``.
LUMA = (19595, 38470, 7471)
LUMA_SHIFT = 16


def decode_grey(image_bytes: tf.Tensor) -> tf.Tensor:
    """Grey values of one image file, float32 ``(height, width, 1)`` in [0, 255].

    Reads JPEG, PNG (1 to 16 bit, grey, palette, RGB; an alpha channel is dropped), BMP and the first frame of a GIF.
    Colour becomes luma (ITU-R BT.601), to the bit as Pillow rounds it for 8-bit images. 16-bit values are shown
    over the whole bits that the highest of them takes (8 at least), or over all 16 where an ``sBIT`` chunk behind the
    header says so, as in the PNG of a DICOM file; their fractions are kept until the resize.
    Orientation tags are not applied: no source in use has them.

    Args:
        image_bytes: string scalar, the content of the file.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no image, or a broken one (when run).
    """
    header = tf.strings.substr(tf.strings.join([image_bytes, tf.constant(b"\0" * 32)]), 0, 32)
    is_jpeg = tf.equal(tf.strings.substr(header, 0, 3), JPEG_SIGNATURE)
    is_png = tf.equal(tf.strings.substr(header, 0, 8), PNG_SIGNATURE)
    is_deep = is_png & tf.equal(tf.strings.substr(header, PNG_DEPTH_BYTE, 1), b"\x10")
    grey = tf.cond(
        is_deep,
        lambda: _grey_from_16_bit(image_bytes),
        lambda: tf.cond(is_jpeg, lambda: _grey_from_jpeg(image_bytes), lambda: _grey_from_8_bit(image_bytes)),
    )
    return tf.ensure_shape(grey, (None, None, 1))


def to_square(grey: tf.Tensor, spec: PixelSpec) -> tf.Tensor:
    """``grey`` (float32 ``(height, width, 1)`` in [0, 255]) as uint8 ``(size, size, 1)``, antialiased.

    ``spec.fit == "crop"`` first cuts the longer side around the centre; ``"stretch"`` keeps the whole picture.
    """
    if spec.fit == "crop":
        shape = tf.shape(grey)
        side = tf.minimum(shape[0], shape[1])
        top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
        grey = grey[top : top + side, left : left + side]
    resized = tf.image.resize(grey, (spec.size_px, spec.size_px), method="bilinear", antialias=True)
    pixels = tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(pixels, (spec.size_px, spec.size_px, 1))


def standard_pixels(image_bytes: tf.Tensor, spec: PixelSpec) -> tf.Tensor:
    """The pixels of one image file as they are stored and served: uint8 ``(size, size, 1)``."""
    return to_square(decode_grey(image_bytes), spec)


def batch_standard_pixels(image_bytes: tf.Tensor, spec: PixelSpec) -> tf.Tensor:
    """``standard_pixels`` of each of ``image_bytes`` (string ``(n,)``, n may be 0): uint8 ``(n, size, size, 1)``."""
    return tf.map_fn(
        lambda one: standard_pixels(one, spec),
        image_bytes,
        fn_output_signature=tf.TensorSpec((spec.size_px, spec.size_px, 1), tf.uint8),
        parallel_iterations=PARALLEL_DECODES,
    )


def batch_pixels(image_bytes: tf.Tensor, spec: PixelSpec) -> tf.Tensor:
    """Input of a model for a batch of image files: float32 ``(n, size, size, 1)`` in [0, 1]; ``(n,)`` strings in."""
    return unit_scale(batch_standard_pixels(image_bytes, spec))


def unit_scale(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 grey values as the float32 in [0, 1] that every network takes."""
    return tf.cast(pixels, tf.float32) * (1.0 / 255.0)


def _grey_from_jpeg(image_bytes: tf.Tensor) -> tf.Tensor:
    # The default inverse transform is a fast approximation, off by up to 17 levels on a real X-ray; the accurate
    # one equals Pillow's.
    return _grey_of_levels(tf.io.decode_jpeg(image_bytes, channels=0, dct_method="INTEGER_ACCURATE"))


def _grey_from_8_bit(image_bytes: tf.Tensor) -> tf.Tensor:
    return _grey_of_levels(tf.io.decode_image(image_bytes, channels=0, dtype=tf.uint8, expand_animations=False))


def _grey_of_levels(decoded: tf.Tensor) -> tf.Tensor:
    decoded = tf.ensure_shape(decoded, (None, None, None))
    return tf.cond(
        tf.shape(decoded)[-1] < 3,
        lambda: tf.cast(decoded[..., :1], tf.float32),
        lambda: tf.cast(_luma(tf.cast(decoded[..., :3], tf.int32)), tf.float32),
    )


def _grey_from_16_bit(image_bytes: tf.Tensor) -> tf.Tensor:
    decoded = tf.ensure_shape(tf.io.decode_png(image_bytes, channels=0, dtype=tf.uint16), (None, None, None))
    levels = tf.cond(
        tf.shape(decoded)[-1] < 3,
        lambda: tf.cast(decoded[..., :1], tf.int64),
        # 16 bits of value and 16 of weight do not fit in int32.
        lambda: _luma(tf.cast(decoded[..., :3], tf.int64)),
    )
    # The range of the values is shown, by the rule of ``contracts.grey_range``: whole bits of the highest one, unless
    # the file says that all 16 count.
    beyond = tf.constant([1 << n_bits for n_bits in DEEP_BITS[:-1]], tf.int64)
    needed = tf.reduce_sum(tf.cast(tf.reduce_max(levels) >= beyond, tf.int32))
    counts_all = tf.equal(tf.strings.substr(tf.strings.join([image_bytes, b"\0" * 64]), 37, 5), ALL_BITS_COUNT)
    place = tf.where(counts_all, len(DEEP_BITS) - 1, needed)
    # Of 16 bits 65535 = 257 x 255: one division by 257. Others are multiplied first, so that white is 255.
    factor = tf.gather(tf.constant([1, *[255] * (len(DEEP_BITS) - 2), 1], tf.int64), place)
    divisor = tf.gather(tf.constant([1, *[(1 << n) - 1 for n in DEEP_BITS[1:-1]], 257], tf.int64), place)
    # Whole part and rest apart: a product with 1/257 alone would leave 255 a hair off, and 16-bit files a trace of
    # their own where the resize rounds. The graph optimiser makes a product of a plain division.
    whole, rest = (levels * factor) // divisor, (levels * factor) % divisor
    return tf.cast(whole, tf.float32) + tf.cast(rest, tf.float32) * (1.0 / tf.cast(divisor, tf.float32))


def _luma(rgb: tf.Tensor) -> tf.Tensor:
    weighted = tf.reduce_sum(rgb * tf.constant(LUMA, rgb.dtype), axis=-1, keepdims=True)
    half = tf.constant(1 << (LUMA_SHIFT - 1), rgb.dtype)
    return tf.bitwise.right_shift(weighted + half, tf.constant(LUMA_SHIFT, rgb.dtype))
