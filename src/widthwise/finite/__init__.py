"""Floor 5: real networks of finite width, sampled and trained."""
