"""The pocket lab: arithmetic stories, and a teacher and a student small enough to ship."""
