"""What a served model sees, whether it still holds, and who is told when it does not."""
