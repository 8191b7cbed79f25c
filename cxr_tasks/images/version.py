"""Which version of the pixel definition and of its storage the code of today makes."""

from __future__ import annotations

#: Grows with every change of the code that alters a stored pixel or what is stored beside it; a test holds it
#: against the hash of golden pixels.
PREPARE_VERSION = 3
#: The first of the versions that give the pixels of today; what changed since is stored beside them.
PIXELS_SINCE = 3
