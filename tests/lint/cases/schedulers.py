"""Cases of kube-scheduler's configuration."""

from tests.lint.case import case
from tests.lint.manifests import (
    CLAIMED,
    DEPLOYMENT,
    GONE,
    POD,
    SCHEDULER,
    edited,
)  # fmt: skip

EXTENDER = "extenders 0"
SECOND = {**SCHEDULER["extenders"][0], "urlPrefix": "http://gpus:80", "bindVerb": "bind"}
CASES = (
    case(
        "FS301",
        "extenders[0].ignorable",
        edited(SCHEDULER, {f"{EXTENDER} ignorable": GONE}),
        SCHEDULER,
    ),
    case(
        "FS302",
        "extenders[0].nodeCacheCapable",
        edited(SCHEDULER, {f"{EXTENDER} nodeCacheCapable": False}),
        SCHEDULER,
    ),
    case(
        "FS303",
        "extenders[0].managedResources",
        edited(SCHEDULER, {f"{EXTENDER} managedResources": [{"name": "nvidia.com/gpu"}]}),
        SCHEDULER,
    ),
    case(
        "FS304", "extenders[0].weight", edited(SCHEDULER, {f"{EXTENDER} weight": GONE}), SCHEDULER
    ),
    case(
        "FS305",
        "extenders[0].httpTimeout",
        edited(SCHEDULER, {f"{EXTENDER} httpTimeout": GONE}),
        SCHEDULER,
        says="for 5 s",
    ),
    case(
        "FS306",
        "percentageOfNodesToScore",
        edited(SCHEDULER, {"percentageOfNodesToScore": 50}),
        SCHEDULER,
    ),
    case(
        "FS306",
        "profiles[0].percentageOfNodesToScore",
        edited(SCHEDULER, {"profiles 0 percentageOfNodesToScore": 0}),
        edited(
            SCHEDULER,
            {"percentageOfNodesToScore": GONE, "profiles 0 percentageOfNodesToScore": 100},
        ),
    ),
    case(
        "FS306",
        "percentageOfNodesToScore",
        edited(
            SCHEDULER,
            {
                "percentageOfNodesToScore": GONE,
                "profiles 1": {"percentageOfNodesToScore": 100},
            },
        ),
        edited(SCHEDULER, {"profiles 1": {"percentageOfNodesToScore": 100}}),
    ),
    case(
        "FS307",
        "extenders[0].tlsConfig.caFile",
        edited(SCHEDULER, {f"{EXTENDER} enableHTTPS": True}),
        edited(SCHEDULER, {f"{EXTENDER} enableHTTPS": True, f"{EXTENDER} tlsConfig caFile": "ca"}),
    ),
    case(
        "FS308",
        "extenders[0].bindVerb",
        edited(SCHEDULER, {f"{EXTENDER} bindVerb": "bind"}),
        SCHEDULER,
    ),
    case(
        "FS308",
        "extenders[2].bindVerb",
        edited(SCHEDULER, {"extenders 1": SECOND, "extenders 2": SECOND}),
        edited(SCHEDULER, {"extenders 1": SECOND}),
    ),
    case(
        "FS309",
        "leaderElection.resourceName",
        edited(SCHEDULER, {"leaderElection": GONE}),
        edited(SCHEDULER, {"leaderElection": {"leaderElect": False}}),
    ),
    case(
        "FS309",
        "leaderElection.resourceName",
        edited(SCHEDULER, {"leaderElection": {"resourceNamespace": "kube-system"}}),
        edited(SCHEDULER, {"leaderElection": {"resourceNamespace": "foresail"}}),
    ),
    case(
        "FS310",
        "apiVersion",
        edited(SCHEDULER, {"apiVersion": "kubescheduler.config.k8s.io/v1beta3"}),
        SCHEDULER,
    ),
    case(
        "FS311",
        "profiles[0].plugins.score.disabled",
        edited(SCHEDULER, {"profiles 0 plugins": GONE}),
        edited(SCHEDULER, {"profiles 0 plugins score disabled": [{"name": "*"}]}),
    ),
    case(
        "FS312",
        "profiles[0].schedulerName",
        (SCHEDULER, DEPLOYMENT),
        (SCHEDULER, edited(DEPLOYMENT, {f"{POD} schedulerName": "foresail"})),
    ),
    case(
        "FS313",
        "spec.template.spec.schedulerName",
        (SCHEDULER, edited(DEPLOYMENT, {f"{POD} schedulerName": "foresale"})),
        (SCHEDULER, edited(DEPLOYMENT, {f"{POD} schedulerName": "foresail"})),
        says="did you mean 'foresail'?",
    ),
    case(
        "FS314",
        "spec.template.spec.schedulerName",
        (
            edited(CLAIMED, {f"{POD} schedulerName": "foresail"}),
            edited(CLAIMED, {"metadata name": "b"}),
        ),
        (
            edited(CLAIMED, {f"{POD} schedulerName": "foresail"}),
            edited(CLAIMED, {"metadata name": "b", f"{POD} schedulerName": "foresail"}),
        ),
        says="Deployment llm/b has claims too, and goes through default-scheduler",
    ),
)
