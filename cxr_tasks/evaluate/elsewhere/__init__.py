"""A model on datasets it was not trained on, and datasets side by side."""
