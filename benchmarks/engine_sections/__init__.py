"""One file per engine: each has ``report(rival)``, rival the Python of the rivals' environment."""
