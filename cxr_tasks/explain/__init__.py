"""Where a model looked: heat maps, examples worth looking at, and how maps compare with marked boxes."""
