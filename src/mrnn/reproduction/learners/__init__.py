"""The networks of the tables with gradients, in PyTorch: each gives its NumPy side when trained."""
