"""Drawn X-rays as files, in the layouts of the real sources."""
