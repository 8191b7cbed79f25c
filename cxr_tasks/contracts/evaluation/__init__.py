"""What evaluation finds of one model: the content of ``metrics.json``, written and read as frozen dataclasses."""
