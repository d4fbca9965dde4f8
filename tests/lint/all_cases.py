"""The cases of every rule, from one table a subject."""

from tests.lint.cases import (
    capacity_policies,
    disruption,
    following,
    neighbours,
    node_pools,
    pods,
    scaled_objects,
    schedulers,
    training,
    triggers,
)

CASES = (
    *scaled_objects.CASES,
    *triggers.CASES,
    *following.CASES,
    *neighbours.CASES,
    *node_pools.CASES,
    *schedulers.CASES,
    *capacity_policies.CASES,
    *pods.CASES,
    *disruption.CASES,
    *training.CASES,
)
