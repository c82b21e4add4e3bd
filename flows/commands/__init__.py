"""The verbs of the command line as `rdpt --help` shows them: their arguments and examples only.

What a verb does is imported when it acts, so that `rdpt --help` answers at once.
"""
