"""The page people read: one self-contained HTML file per model version."""
