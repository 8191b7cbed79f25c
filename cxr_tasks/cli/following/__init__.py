"""A run followed in the terminal: its tasks, its questions and what came of it."""
