"""The one door to files: where they lie, how they are written, locked and hashed."""
