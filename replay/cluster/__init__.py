"""GPU nodes over time, event by event: ordered, launched, used, empty, held and gone."""
