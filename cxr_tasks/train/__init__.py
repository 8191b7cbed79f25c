"""Train: one candidate from a stored dataset and a recipe, resumable after a kill."""
