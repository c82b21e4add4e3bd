"""The arguments of each verb of the command line, and the function that does its work.

A file here imports nothing that computes: help, mistakes and completion answer at once. The
function is imported when the verb acts, from `flows/commands/` or `flows/tools/`.
"""
