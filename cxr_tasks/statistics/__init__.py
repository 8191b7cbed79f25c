"""Scores, intervals and tests that count patients, on plain arrays; knows no file and no model."""
