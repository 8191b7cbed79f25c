"""The programs that the stack starts and configures."""
