"""A registered version trained again from what is recorded of it, and compared."""
