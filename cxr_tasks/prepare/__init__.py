"""Prepare: pixels in their one definition, and the stored dataset that training reads."""
