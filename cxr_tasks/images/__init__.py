"""Bytes of an image file to grey pixels, in one definition for training and serving; DICOM included."""
