"""The value that stands for white where more than 8 bits may be held: one rule for DICOM files, tables in them and PNG.

``images.pixels`` has it again as TensorFlow ops, for the served graph.
"""

from __future__ import annotations

#: Values of 8 bits are taken as they are, however dark the picture.
FEWEST_BITS = 8
MOST_BITS = 16


def white_of(highest: int) -> int:
    """The highest number of as many whole bits as ``highest`` takes: of 8 bits at least and 16 at most.

    Many files keep values of 12 bits and claim 16; shown over all 16 they would be nearly black. Whole bits, so that
    the range does not hang on a single bright pixel.

    >>> white_of(4000), white_of(4096), white_of(3)
    (4095, 8191, 255)
    """
    return (1 << min(max(int(highest).bit_length(), FEWEST_BITS), MOST_BITS)) - 1
