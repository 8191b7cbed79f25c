"""The training loop: phases, steps, validation, and going on after a kill."""
