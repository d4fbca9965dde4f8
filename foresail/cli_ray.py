"""The verb that scales Ray Serve."""

import asyncio
from pathlib import Path
from typing import Any

import click

from foresail import cli_options


@click.command("ray-scale", short_help="Scale Ray Serve deployments by their plans.")
@cli_options.plans_server
@click.option(
    "--ray",
    default="http://127.0.0.1:8265",
    show_default=True,
    metavar="URL",
    help="The dashboard of the Ray cluster.",
)
@click.option(
    "--ray-token-file",
    "token_file",
    type=click.Path(path_type=Path),
    help="The bearer token for Ray, where RAY_AUTH_MODE is token.",
)
@click.option(
    "--target",
    "targets",
    metavar="NAMESPACE/NAME=APPLICATION/DEPLOYMENT",
    multiple=True,
    required=True,
    help="A workload of the watch list, and the deployment that serves it; may be repeated.",
)
@click.option("--act", "acts", is_flag=True, help="Change targets. Default: say what would change.")
def ray_scale(
    *,
    server: str,
    ray: str,
    token_file: Path | None,
    targets: tuple[str, ...],
    acts: bool,
    **tls: Any,
) -> None:
    """Set the replicas of Ray Serve deployments as the plans of a running `foresail serve` say.

    Prints a line for each change, and for each new reason against one; goes on until it is ended.
    A deployment that Ray scales itself is never touched. Status 1: the server of plans refuses.
    """
    from foresail import ray_command
    from foresail.logs import log_to_stderr

    log_to_stderr("warning")
    options = ray_command.RayOptions(
        server=server,
        tls=cli_options.client_tls(**tls),
        ray=ray,
        token_file=token_file,
        targets=ray_command.targets_of(targets),
        acts=acts,
    )
    asyncio.run(ray_command.follow(options, click.echo))
