"""Faults planted among drawn X-rays, each with what must come of it."""
