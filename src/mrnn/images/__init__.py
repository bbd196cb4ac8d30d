"""Pictures: opened and checked, made ready for an encoder, turned into features."""
