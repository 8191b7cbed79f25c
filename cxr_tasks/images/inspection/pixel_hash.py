"""What tells equal pictures: a hash of the grey pixels, whatever file they came in."""

from __future__ import annotations

import numpy as np
from xxhash import xxh3_128

from cxr_tasks.images.inspection.form import Picture


def pixel_hash(picture: Picture) -> str:
    """XXH3 (128 bits) of the grey pixels and their shape, as hex. Who alters files on purpose meets their sha256."""
    grey = picture.grey
    height, width = grey.shape
    if not grey.flags.c_contiguous:
        grey = np.ascontiguousarray(grey)
    # Little-endian, as ``decode`` gives them.
    digest = xxh3_128(grey.view(np.uint8))
    digest.update(b":%dx%dx%d" % (width, height, picture.white))
    return digest.hexdigest()
