"""Train: the candidates of a recipe from a stored dataset, each resumable after a kill, and the choice among them."""
