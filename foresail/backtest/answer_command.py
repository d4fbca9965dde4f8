"""`foresail backtest` of a model: asks, shows progress on stderr, prints the answer on stdout."""

import json
from pathlib import Path

from rich.console import Console

from foresail.backtest.answer import report_of, verdict
from foresail.backtest.answer_shown import document, head, lines, table
from foresail.backtest.prometheus_backtest import Question, answered
from foresail.backtest.recorded import Recorded
from foresail.printed import print_document
from foresail.replaying.command import write_report
from foresail.replaying.page import page
from foresail.replaying.plan import ReplayPlan
from scaler.yaml_file import validated


def answer(  # noqa: PLR0913 - the verb's options
    recorded: Recorded,
    *,
    now: float,
    model: str,
    namespace: str | None,
    labels: tuple[tuple[str, str], ...],
    engine: str | None,
    days: float,
    context: str | None,
    kubeconfig: Path | None,
    ttft: float | None,
    itl: float | None,
    gpu_price: float | None,
    prices_file: Path | None,
    seeds: int,
    plan_file: Path | None,
    rule_files: tuple[Path, ...],
    seed: int,
    html: Path | None,
    json_file: Path | None,
    form: str,
    **_others: object,
) -> None:
    """Answer one question.

    Args:
        now: where the past ends.

    Raises:
        ForesailError: the past, the rule or the plan cannot be used.
    """
    plan = validated(plan_file, ReplayPlan) if plan_file else ReplayPlan()
    own = {"ttft": ttft, "itl": itl, "gpu_usd_hour": gpu_price}
    given = {key: value for key, value in own.items() if value is not None}
    plan = plan.model_copy(update=given)
    question = Question(
        model=model,
        namespace=namespace,
        engine=engine,
        labels=labels,
        days=days,
        rule_files=rule_files,
        live=context is not None or kubeconfig is not None,
        context=context,
        kubeconfig=kubeconfig,
        plan=plan,
        plan_keys=frozenset(plan.model_fields_set),
        prices=prices_file,
        seeds=seeds,
        seed=seed,
    )
    talk = Console(stderr=True)
    with talk.status("") as status:
        found = answered(
            question, recorded, now=now, tell=lambda what: status.update(f"{what} ...")
        )
    if html is not None:
        write_report(html, page(report_of(found)))
    if json_file is not None:
        write_report(json_file, json.dumps(document(found), indent=1))
    if form != "table":
        print_document(document(found), form)
        return
    console = Console()
    console.print(head(found), highlight=False, style="bold")
    for line in lines(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(table(found))
    console.print(verdict(found)[1], highlight=False, markup=False, style="bold")
