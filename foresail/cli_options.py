"""Options that several verbs have."""

from pathlib import Path

import click

log_level = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    default="info",
    show_default=True,
)
kubeconfig_or_account = click.option(
    "--kubeconfig", type=click.Path(path_type=Path), help="Default: the pod's account."
)
context = click.option("--context", help="Of the kubeconfig.")
own_gpu_prices = click.option(
    "--prices",
    "prices_file",
    type=click.Path(path_type=Path),
    help="The file of `foresail fleet`: what it says of GPUs goes before list prices.",
)
