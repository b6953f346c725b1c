"""Floor 3: networks of infinite width."""
