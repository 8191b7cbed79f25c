"""Batch scoring: a folder or table of images, of any size, to one table of what a served version says of each."""
