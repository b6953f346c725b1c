"""Floor 10: what people see: figures, reports, the command line."""
