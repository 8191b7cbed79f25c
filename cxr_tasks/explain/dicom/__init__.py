"""What a served model says of a DICOM image, as DICOM objects of the same study."""
