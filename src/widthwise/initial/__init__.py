"""Floor 4: networks of finite width at initialization."""
