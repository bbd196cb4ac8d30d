"""Photo libraries: brought up to date, kept, searched."""
