"""From an experiment to the tables that it needs: pure description, nothing is computed here."""
