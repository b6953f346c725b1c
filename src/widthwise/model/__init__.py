"""Floor 2: what a user chooses: law, activation, architecture."""
