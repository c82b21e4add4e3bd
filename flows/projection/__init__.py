"""Configurations as MLflow shows them, read from the store alone.

Nothing here is kept anywhere: `rdpt sync` makes all of it again. What grows with the experiment is
cut to what a page can show (60 metrics, 500 points a curve, 200 examples), and the whole stays in
the tables.
"""
