"""Cases of training jobs."""

from tests.cluster.gang_documents import nemo_train_job, train_job
from tests.lint.case import case

CASES = (
    case(
        "FS561",
        "spec.podTemplateOverrides",
        nemo_train_job("nemo"),
        train_job("nemo", runtimePatches=[{"manager": "example.com/nemo"}]),
        says="Trainer 2.2 and newer drop it without an error",
    ),
)
