"""The Grafana dashboards of the chart, as descriptions: `python -m scripts.dashboards` writes them.

`grafana` makes Grafana's JSON of a description; the other modules are one dashboard each.
"""
