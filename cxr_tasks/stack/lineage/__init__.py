"""OpenLineage: what each task read and wrote, with digests as versions, told to whoever collects such events."""
