"""The order of an experiment, and its command line."""
