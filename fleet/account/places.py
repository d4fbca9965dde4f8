"""Where a machine starts: what its lead time may depend on."""

from dataclasses import dataclass

from fleet.cluster.nodes import CapacityType


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A pool, a machine type, how it is paid for, and a zone; None = not known, or any."""

    pool: str | None = None
    instance_type: str | None = None
    capacity_type: CapacityType | None = None
    zone: str | None = None

    @property
    def wider(self) -> tuple["Place", ...]:
        """The places that this one lies in, the widest first, and itself.

        They are a pool, a machine type as it is paid for, and a zone.
        """
        pool = Place(pool=self.pool)
        machine = Place(
            pool=self.pool, instance_type=self.instance_type, capacity_type=self.capacity_type
        )
        return tuple(dict.fromkeys((pool, machine, self)))
