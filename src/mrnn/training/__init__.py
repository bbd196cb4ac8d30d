"""A training run, from captioned pictures to a model; it needs PyTorch."""
