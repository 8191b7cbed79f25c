"""What grows is bounded: old runs, logs and MLflow runs go, never what a version, report or reproduction needs."""
