"""The pocket lab: arithmetic stories, and a teacher and a student small enough to ship.

How the two models were trained is in `perf/pocket/`.
"""
