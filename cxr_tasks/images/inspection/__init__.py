"""One image file looked at: what it is, what it shows, why it is refused."""
