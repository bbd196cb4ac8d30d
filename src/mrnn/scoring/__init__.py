"""How likely sentences are for images, and what that ranks."""
