"""Starting weights: found, checked, loaded."""
