"""Why each word was said: contributions, and heat maps over the picture."""
