"""What a cluster has, who has it, and for how long: accounts made of records."""
