"""How fast models train and score, by timing the training step."""
