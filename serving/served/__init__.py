"""What serves now, on disk: folders, state, configuration, and whether they agree."""
