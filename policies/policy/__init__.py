"""The operator's CapacityPolicy: its schema, its files, and what it says of one pool."""
