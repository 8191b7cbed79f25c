"""What the platform tells of itself in Prometheus' words, beside what Airflow and the model servers tell."""
