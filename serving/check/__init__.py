"""An export held against its model on a real server process, before any of it is released."""
