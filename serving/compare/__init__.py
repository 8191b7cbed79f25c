"""Two versions on the same requests."""
