"""Everything made at run time in one file, and back from it: here, on another disk, under another path."""
