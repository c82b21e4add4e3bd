"""The report of an experiment: one HTML page, gathered from the store and written as a file.

Nothing here is kept anywhere else: like the catalogue and MLflow, the page is a projection.
"""

from flows.report.files import write

__all__ = ["write"]
