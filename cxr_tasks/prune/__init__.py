"""Old runs, logs, fetched data and MLflow runs go; never what a version, report or reproduction needs."""
