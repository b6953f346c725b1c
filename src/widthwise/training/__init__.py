"""Floor 6: networks of finite width during training."""
