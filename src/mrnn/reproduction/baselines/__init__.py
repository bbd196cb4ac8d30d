"""The systems that the paper compares the m-RNN with, one file a family."""
