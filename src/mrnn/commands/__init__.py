"""The command line: a file for each group of commands; nothing heavy until one runs."""
