"""MLflow as a projection of the store. Only the modules of this package import mlflow."""
