"""The report: what the store holds, gathered for one page."""
