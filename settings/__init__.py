"""What is asked (`experiment.py`, hashed) and where it runs (`runtime.py`, never hashed)."""
