"""What one stage gives to the next."""
