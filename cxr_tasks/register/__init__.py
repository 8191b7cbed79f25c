"""A candidate that its gate did not refuse becomes a version of the registry."""
