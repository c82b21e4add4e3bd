"""A verb of the command line in each file: what it does, and its output.

The class of its arguments (`flows/verbs/`) imports the file when the verb acts, so a file may
import what it needs at its top, except packages that take seconds (torch, transformers, prefect,
mlflow).
"""
