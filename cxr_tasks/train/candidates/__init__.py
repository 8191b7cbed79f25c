"""The candidates of a recipe: its settings, its search, and what must hold before a training starts."""
