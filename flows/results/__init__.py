"""Results of an experiment for people: rows of the store, their cells, their tables."""
