"""The verb that scales Ray Serve."""

import asyncio
from pathlib import Path
from typing import Any

import click

from foresail.commands import options as cli_options


@click.command("ray-scale", short_help="Scale Ray Serve and KubeRay by plans.")
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
    help="A workload of the watch list, and the deployment that serves it; may be repeated.",
)
@click.option(
    "--worker-group",
    "groups",
    metavar="NAMESPACE/NAME=KIND/OBJECT/GROUP",
    multiple=True,
    help="The same, and KubeRay's worker group that it runs on, such as "
    "llm/m=raycluster/chat/gpu; KIND is raycluster or rayservice. May be repeated.",
)
@click.option(
    "--replica-hosts",
    type=click.IntRange(min=1),
    help="Pods that a replica of the model takes. Default: numOfHosts of its group.",
)
@cli_options.context
@cli_options.kubeconfig_or_account
@click.option("--act", "acts", is_flag=True, help="Change them. Default: say what would change.")
def ray_scale(
    *, targets: tuple[str, ...], groups: tuple[str, ...], acts: bool, **given: Any
) -> None:
    """Scale Ray as the plans of a running `foresail serve` say.

    Sets the replicas of Ray Serve deployments, and `minReplicas` of KubeRay's worker groups. Prints
    a line for each change, and for each new reason against one; goes on until it is ended. A
    deployment that Ray scales itself is never touched, nor are `replicas` of a worker group, which
    belong to Ray's autoscaler or to you. Status 1: the server of plans refuses.
    """
    from foresail.logs import log_to_stderr
    from foresail.ray import command as ray_command
    from foresail.ray import targets as ray_targets

    if not targets and not groups:
        raise click.UsageError("name what to scale: --target, --worker-group, or both")
    log_to_stderr("warning")
    tls = {name: given.pop(name) for name in ("ca", "certificate", "key", "server_name")}
    options = ray_command.RayOptions(
        tls=cli_options.client_tls(**tls),
        targets=ray_targets.targets_of(targets),
        groups=ray_targets.groups_of(groups),
        acts=acts,
        **given,
    )
    asyncio.run(ray_command.follow(options, click.echo))
