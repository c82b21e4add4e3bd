"""The science of rdpt: no Prefect, no MLflow, no environment variables; importable alone."""

__version__ = "0.1.0"
