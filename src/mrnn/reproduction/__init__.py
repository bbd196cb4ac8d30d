"""The paper's tables made again, with the systems that it compares with."""
