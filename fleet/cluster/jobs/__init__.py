"""The objects that training jobs, groups and Ray clusters are written as, and Kueue's on them."""
