"""A registered version as a SavedModel, kept until it is no longer of use."""
