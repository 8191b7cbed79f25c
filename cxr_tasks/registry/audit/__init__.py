"""The audit trail: entries in a chain of hashes, anchored where another hand would have to change them too."""
