"""Floor 1: mathematics that knows no network."""
