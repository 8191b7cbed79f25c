"""Networks and their blocks; saved ones loaded."""
