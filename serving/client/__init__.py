"""Clients of the model server."""
