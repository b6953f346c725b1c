"""Independent ways to numbers of the training chapter."""
