"""The rights of `foresail fleet` and `foresail cost`: what they read, and no more."""

import yaml

from fleet.cluster.kinds import SOURCES
from foresail.gpus.jobs_command import JOB_KINDS
from tests.deploy.examples import FOLDER

ROLE, BINDING = yaml.safe_load_all((FOLDER / "fleet.yaml").read_text())


def _resource(path: str) -> tuple[str, str]:
    """API group and resource of a collection's path."""
    *_, group, _, resource = path.split("/")
    return ("" if group == "api" else group), resource


def test_the_role_lists_just_what_is_read() -> None:
    granted = [
        (group, resource)
        for rule in ROLE["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ]

    assert sorted(granted) == sorted(_resource(SOURCES[kind].path) for kind in JOB_KINDS)


def test_nothing_can_be_written_with_it() -> None:
    assert [rule["verbs"] for rule in ROLE["rules"]] == [["list", "watch"]] * len(ROLE["rules"])


def test_the_binding_gives_the_role() -> None:
    assert BINDING["roleRef"]["name"] == ROLE["metadata"]["name"]
