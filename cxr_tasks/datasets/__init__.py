"""Prepared datasets as they are stored: found, opened, listed, compared."""
