"""Versions loaded, warmed up and unloaded."""
