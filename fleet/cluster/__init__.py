"""One reading of a cluster for every room: a follower, and a record of each kind of object."""
