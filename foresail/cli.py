"""The `foresail` command: one verb a way in, each a thin call into the rooms."""

import click


@click.group()
@click.version_option(package_name="foresail")
def main() -> None:
    """Forecast-driven capacity for LLM inference on Kubernetes."""
