"""Training jobs: what their controllers drop without a word."""

from collections.abc import Iterator
from typing import Final

from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule

TRAIN_JOB: Final = "trainer.kubeflow.org/TrainJob"
_DROPPED: Final = ("podTemplateOverrides", "podSpecOverrides")


@rule(
    "FS561",
    Severity.WARNING,
    on=TRAIN_JOB,
    what="pod settings that Trainer drops",
    fix="write them as runtimePatches, under a manager of your own",
    source="Kubeflow Trainer 2.2, TrainJob API (runtimePatches); NeMo-Run, KubeflowExecutor",
)
def dropped_overrides(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """From Trainer 2.2 on a TrainJob has neither podSpecOverrides nor podTemplateOverrides, and the
    API server drops fields that it does not know: tolerations, node selectors, volumes and resource
    claims given there are lost without an error. NeMo-Run's KubeflowExecutor writes them so.
    """
    for name in _DROPPED:
        if name in of.spec:
            why = "Trainer 2.2 and newer drop it without an error"
            yield Fault(at=("spec", name), why=why, do="write it as runtimePatches")
