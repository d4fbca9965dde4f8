"""Whether an address is this machine's own, which only programs on it can reach."""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit


def is_loopback(address: str | None) -> bool:
    """False for a name, and for what is unknown."""
    try:
        given = ip_address(address or "")
    except ValueError:
        return False
    mapped = given.ipv4_mapped if isinstance(given, IPv6Address) else None
    return (mapped or given).is_loopback


def is_from_this_machine(peer: str | None, host: str) -> bool:
    """Whether a program on this machine asks, and by a name of this machine.

    Args:
        peer: the address that the request came from.
        host: its Host header.
    """
    return is_loopback(peer) and names_loopback(host)


def names_loopback(host: str) -> bool:
    """Whether a Host header, with or without a port, says this machine.

    A program on this machine says so. A browser that was led here by a foreign name that points to
    this machine does not, and neither does a proxy beside us that passes on what others ask.
    """
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name == "localhost" or is_loopback(name)
