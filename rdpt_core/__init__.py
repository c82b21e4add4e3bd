"""The science of rdpt: no Prefect, no MLflow, no setting from the environment; importable alone."""

__version__ = "0.1.0"
