"""Whether an address is this machine's own, which only programs on it can reach."""

from ipaddress import IPv6Address, ip_address


def is_loopback(address: str | None) -> bool:
    """False for a name, and for what is unknown."""
    try:
        given = ip_address(address or "")
    except ValueError:
        return False
    mapped = given.ipv4_mapped if isinstance(given, IPv6Address) else None
    return (mapped or given).is_loopback
