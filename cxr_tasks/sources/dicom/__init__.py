"""DICOM files with a table of labels."""
