"""The names that exporters, scrapers and frameworks make of a series' name, for all engines alike.

`prometheus_client` turns `vllm:x` into `vllm_x` for a Prometheus 2.x that asks for OpenMetrics, and
Ray puts `ray_` before what its workers export, so one series has four names, and a query for the
wrong one returns no series, with HTTP 200.
"""


def spellings(name: str) -> tuple[str, ...]:
    """The names under which a series may arrive, the engine's own first.

    A name without a colon has one. Ray's counters lacked `_total` before it moved to OpenTelemetry.
    """
    if ":" not in name:
        return (name,)
    plain = name.replace(":", "_")
    found = [name, plain, f"ray_{plain}", f"ray_{name}"]
    if name.endswith("_total"):
        found += [f"ray_{plain.removesuffix('_total')}", f"ray_{name.removesuffix('_total')}"]
    return tuple(found)
