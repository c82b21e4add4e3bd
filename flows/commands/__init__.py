"""A verb of the command line in each file: its arguments, its examples, what it does, its output.

`flows.cli` imports the file of the verb that was asked for and no other, so a file may import what
it needs at its top, except packages that take seconds (torch, transformers, prefect, mlflow).
"""
