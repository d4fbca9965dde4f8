"""The rules that `--rule` names: Python files, or manifests of the rule of today."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from foresail.lint.files import read_paths
from policies.lint.objects import Object
from policies.lint.scaled import HPA, SCALED_OBJECT
from replay.policies.catalogue import KINDS
from replay.policies.own_rule import OwnRule, PythonRule
from replay.policies.present_rule import PresentRule, present_rule_of
from scaler.errors import ForesailError

_OF_KEDA: Final = "keda-hpa-"
"""KEDA's own HPAs repeat what their ScaledObject says."""


def own_rules(paths: Sequence[Path]) -> tuple[OwnRule, ...]:
    """The rules in these files.

    Raises:
        ForesailError: a file cannot be read or has no rule, or two rules have one name.
    """
    rules: list[OwnRule] = []
    for path in paths:
        rule = _python_rule(path) if path.suffix == ".py" else present_rule_in(path)
        if rule.name in {one.name for one in rules}:
            raise ForesailError(f"--rule {path}: there are two rules named {rule.name!r}")
        rules.append(rule)
    return tuple(rules)


def _python_rule(path: Path) -> PythonRule:
    try:
        rule = PythonRule(file=str(path), text=path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ForesailError(f"--rule {path}: {error}") from error
    shipped = KINDS.get(rule.name)
    if shipped is not None and Path(__file__).parents[2] / "replay" not in path.resolve().parents:
        raise ForesailError(
            f"--rule {path}: {rule.name!r} is the name of a shipped rule; rename the file, or give "
            "the class another `name`"
        )
    return rule


def present_rule_in(path: Path) -> PresentRule:
    """The one ScaledObject or HPA of a file.

    Raises:
        ForesailError: there is none or more than one, or it cannot be replayed.
    """
    read = read_paths([str(path)])
    if read.findings:
        first = read.findings[0]
        line = f":{first.line}" if first.line else ""
        raise ForesailError(f"--rule {path}{line}: {first.why}")
    scalers = scalers_in(read.objects)
    if len(scalers) != 1:
        found = ", ".join(one.title for one in scalers) or "none"
        raise ForesailError(
            f"--rule {path}: one ScaledObject or HorizontalPodAutoscaler is needed; found: {found}"
        )
    return present_rule_of(scalers[0])


def scalers_in(objects: Sequence[Object]) -> list[Object]:
    """ScaledObjects, and HPAs that KEDA did not make from one."""
    return [
        one
        for one in objects
        if one.type == SCALED_OBJECT or (one.type == HPA and not one.name.startswith(_OF_KEDA))
    ]
