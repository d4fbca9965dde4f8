"""The table of terms in docs/scheduler.md is the one that the terms themselves make."""

import importlib
import pkgutil
from pathlib import Path

import scheduler.score
from scheduler.score.columns import Term
from scheduler.score.terms import TERMS, table

PAGE = Path(__file__).parents[2] / "docs" / "scheduler.md"
MAKE = 'python -c "from scheduler.score.terms import table; print(table())"'


def test_the_documented_terms_are_those_of_the_score() -> None:
    assert f"\n\n{table()}\n\n" in PAGE.read_text(), f"paste what this prints: {MAKE}"


def test_every_term_that_a_module_of_the_score_names_is_listed_once() -> None:
    modules = [
        importlib.import_module(f"scheduler.score.{module.name}")
        for module in pkgutil.iter_modules(scheduler.score.__path__)
    ]
    named = {
        value.name for module in modules for value in vars(module).values() if type(value) is Term
    }
    assert sorted(term.name for term in TERMS) == sorted(named)
