"""A person lets a version serve: the question, its evidence, the promotion."""
