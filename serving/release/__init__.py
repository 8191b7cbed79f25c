"""A version released, rolled back or tried on a few requests; and the champion watched."""
