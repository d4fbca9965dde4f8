"""The options of `foresail controller`."""

from dataclasses import dataclass
from pathlib import Path

from foresail.client import ClientTls
from foresail.meters.mlflow import MlflowServer
from policies.policy.pool_policy import Lever, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOptions:
    """As the command line has them."""

    policies: tuple[Path, ...] = ()
    """Files and folders; CapacityPolicy objects are followed beside them."""
    mode: Mode = Mode.ACT
    """ADVISE = whatever a policy says, nothing is written but Events."""
    observe: bool = False
    """Write nothing at all: no Events, and no Lease, so that each replica only shows its rounds."""
    dry_run: bool = False
    """Print what would be written, and write nothing at all."""
    http: str = "0.0.0.0:8080"
    """Health, metrics and the plan."""
    kubeconfig: Path | None = None
    """None = the pod's own service account."""
    context: str | None = None
    namespace: str = "foresail"
    """Foresail's own: of the Lease, and of the objects that it makes."""
    identity: str = "foresail"
    """Of this replica; no two may share one."""
    prices: Path | None = None
    state: Path | None = None
    """The folder that keeps what was learned."""
    plans: str | None = None
    """Address of the Plans API; None = demand is what pods show."""
    plans_tls: ClientTls | None = None
    """None = it is asked in plain text."""
    mlflow: MlflowServer | None = None
    """Whose training runs tell when gangs end; None = none is asked."""

    withdrawn_levers: frozenset[Lever] = frozenset(Lever)
    """Of which `--withdraw` takes back what was written."""

    console: str | None = None
    """Address of the console; None = there is none."""
    console_token: Path | None = None
    """The file with the token for it; None = it is for this machine alone."""

    @property
    def writes(self) -> bool:
        """Whether anything is carried out."""
        return self.mode is Mode.ACT and not self.dry_run
