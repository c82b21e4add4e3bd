"""Stages as cached, resumable Prefect tasks, and the projection into MLflow."""
