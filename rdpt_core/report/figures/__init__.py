"""Figures of an experiment by matplotlib, as pure functions of what the report's bundle holds.

matplotlib takes half a second to import, so import a file of this package where it is used.
"""
