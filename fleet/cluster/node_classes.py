"""Node classes of AWS: the capacity reservations that nodes may be launched into, and their ends.

Karpenter's EC2NodeClass and the NodeClass of EKS Auto Mode have the same status.
"""

from dataclasses import dataclass

from fleet.cluster.fields import Json, listed, name_of, part, seconds, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """An On-Demand Capacity Reservation or a Capacity Block."""

    id: str
    block: bool = False
    """A Capacity Block: its machines are stopped when it ends; those of others stay, on demand."""
    ends_seconds: float | None = None
    """None = it has no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """What its controller found for it."""

    name: str
    uid: str = ""
    reservations: tuple[Reservation, ...] = ()


def node_class_of(document: Json) -> NodeClass:
    """The node class of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    return NodeClass(
        name=name_of(document),
        uid=text(part(document, "metadata"), "uid") or "",
        reservations=tuple(
            Reservation(
                id=text(one, "id") or "",
                block=text(one, "reservationType") == "capacity-block",
                ends_seconds=seconds(one, "endTime"),
            )
            for one in listed(part(document, "status"), "capacityReservations")
        ),
    )
