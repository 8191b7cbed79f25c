"""The local stack: Airflow, MLflow and the model server on loopback, kept alive by supervisord."""
