"""Drawn chests: anatomy, findings, noise."""
