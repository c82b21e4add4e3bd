"""`rdpt doctor`: checks of this machine, of the models of an experiment, and of their scores."""
