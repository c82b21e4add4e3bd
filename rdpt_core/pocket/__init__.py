"""The pocket lab: arithmetic stories, a teacher and a student small enough to ship with the code."""
