"""What served models answered: a table of scores and image statistics, never of images."""
