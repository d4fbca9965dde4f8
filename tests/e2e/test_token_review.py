"""Explanations for tokens that the real API server issued: whose they are, and what roles allow."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from fleet.cluster.follow.clients import connected
from foresail.ports.token_reviews import TokenReviews
from tests.e2e import bed as beds
from tests.e2e import kubernetes

pytestmark = pytest.mark.looptime(False)  # the API server lives in real time

TEAM, OTHERS = "review-team", "review-others"
SERVE = "serve-reviews"
DOCUMENTED = (beds.ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def documented_role() -> dict[str, Any]:
    """The ClusterRole that docs/settings.md shows, for the namespace of this test."""
    block = DOCUMENTED.partition("lets a team read the explanations of its namespace:\n\n")[2]
    text = "\n".join(line[4:] for line in block.partition("\n\n`system:auth")[0].splitlines())
    role: dict[str, Any] = yaml.safe_load(text.replace("/explain/team-a/*", f"/explain/{TEAM}/*"))
    assert role["kind"] == "ClusterRole"
    return role


@pytest.fixture(scope="module")
def reviewer(bed: beds.Bed) -> Iterator[beds.Bed]:
    """Two teams with an account each; the role binds one. Serve's account may only review."""
    role = documented_role()
    for team in (TEAM, OTHERS):
        bed.kubectl("create", "namespace", team)
        bed.kubectl("-n", team, "create", "serviceaccount", "reader")
    bed.apply(role)
    name = role["metadata"]["name"]
    subject = f"--serviceaccount={TEAM}:reader"
    bed.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", subject)
    kubernetes.add_user(bed, SERVE, SERVE)
    delegated = ("--clusterrole=system:auth-delegator", f"--user={SERVE}")
    bed.kubectl("create", "clusterrolebinding", SERVE, *delegated)
    # Rights are in force a moment after they were bound.
    own = ("get", f"/explain/{TEAM}/chat", f"--as=system:serviceaccount:{TEAM}:reader")
    for right in (own, ("create", "tokenreviews.authentication.k8s.io", f"--as={SERVE}")):
        bed.wait(lambda right=right: _may(bed, *right), " ".join(right))  # type: ignore[misc]
    yield bed
    bed.kubectl("delete", "clusterrolebinding", name, SERVE)
    bed.kubectl("delete", "clusterrole", name)
    bed.kubectl("delete", "namespace", TEAM, OTHERS, "--wait=false")


def _may(bed: beds.Bed, *right: str) -> bool:
    try:
        return bed.kubectl("auth", "can-i", *right).strip() == "yes"
    except RuntimeError:  # kubectl ends with 1 where the answer is no
        return False


async def verdict(reviews: TokenReviews, token: str, path: str) -> bool:
    """What the API server says; it may take longer than `foresail serve` waits."""
    async with asyncio.timeout(180):
        while (found := await reviews.may_get(token, path, "10.0.0.1")) is None:
            await asyncio.sleep(1)
    return found


def token_of(bed: beds.Bed, team: str) -> str:
    return bed.kubectl("-n", team, "create", "token", "reader").strip()


async def test_a_team_reads_its_own_explanations_with_its_own_token_and_nobody_elses(
    reviewer: beds.Bed,
) -> None:
    kubeconfig = reviewer.kubeconfig(SERVE)
    tokens = {team: token_of(reviewer, team) for team in (TEAM, OTHERS)}
    reviews = TokenReviews(
        connect=lambda: connected(None, kubeconfig=kubeconfig),
        clock=time.monotonic,  # noqa: TID251 - of a real server
    )
    try:
        own = f"/explain/{TEAM}/chat"
        verdicts = [
            await verdict(reviews, token, path)
            for token, path in (
                (tokens[TEAM], own),
                (tokens[TEAM], f"/explain/{OTHERS}/chat"),
                (tokens[OTHERS], own),
                (tokens[TEAM][:-8] + "AAAAAAAA", own),
            )
        ]
    finally:
        await reviews.close()
    assert verdicts == [True, False, False, False]
