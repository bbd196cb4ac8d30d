"""Sentences: as words, packed without padding, as a tree of their prefixes."""
