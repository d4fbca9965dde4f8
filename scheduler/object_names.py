"""Names of Kubernetes objects (RFC 1123), checked before one becomes a part of a URL's path.

A name such as `..` passes through every kind of quoting and leads out of its namespace's path.
"""

import re
from typing import Final

_LABEL: Final = re.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_LENGTH_MAX: Final = 63
_SUBDOMAIN_LENGTH_MAX: Final = 253


def is_namespace_name(text: str) -> bool:
    """Whether it is a DNS label, as names of namespaces are."""
    return len(text) <= _LABEL_LENGTH_MAX and _LABEL.fullmatch(text) is not None


def is_object_name(text: str) -> bool:
    """Whether it is a DNS subdomain, as names of most objects are."""
    if len(text) > _SUBDOMAIN_LENGTH_MAX:
        return False
    return all(_LABEL.fullmatch(part) is not None for part in text.split("."))
