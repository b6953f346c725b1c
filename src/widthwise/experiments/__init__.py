"""Floor 9: studies as data: what to compute, on which data."""
