"""How good a model is: metrics, retrieval, the paper's protocols, and a page of it."""
