"""From a folder of image files to a manifest of the usable ones."""

import os

# pyarrow's own allocator keeps the memory of what it has read: 40 MiB of the tables of 100,000 images. The C library
# gives large blocks back to the system. pyarrow looks here when it is imported, which these modules do first.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
