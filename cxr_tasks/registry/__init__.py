"""The MLflow side: runs, versions, aliases."""
