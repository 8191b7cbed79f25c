"""One request run through its graph."""
