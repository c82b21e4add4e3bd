"""`rdpt ui`: MLflow and Prefect on this machine's loopback address."""
