"""The report's page of one version."""
