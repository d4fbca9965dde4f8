"""How good each node is for a pod: named terms in thousandths of a GPU, and their sum."""
