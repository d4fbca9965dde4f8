"""The edge: API servers asked, lists and watches read, clients built."""
