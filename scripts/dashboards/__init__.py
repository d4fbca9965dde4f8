"""The Grafana dashboards of the chart, as descriptions: `python -m scripts.dashboards` writes them.

`grafana` makes Grafana's JSON of a description; `operator`, `workload` and `nodes` are one each.

Where there is no Grafana, `filling` asks a Prometheus what the JSON asks (`asking`, `answers`), and
`picture` draws it (`grid`, `units`).
"""
