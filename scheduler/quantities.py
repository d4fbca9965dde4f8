"""Kubernetes quantities, as the fleet reads them too."""

from fleet.quantities import quantity

__all__ = ["quantity"]
