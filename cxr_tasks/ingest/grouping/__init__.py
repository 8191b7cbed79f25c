"""Which images belong together, and into which split each group goes."""
