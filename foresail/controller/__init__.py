"""`foresail controller`: follows a cluster, decides on its GPU nodes, and carries decisions out."""
