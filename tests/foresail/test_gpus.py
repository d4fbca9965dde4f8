"""`foresail gpus`: the catalogue as a table."""

from click.testing import CliRunner

from foresail.cli import main


def rows(*arguments: str) -> dict[str, list[str]]:
    shown = CliRunner().invoke(main, ["gpus", *arguments], env={"COLUMNS": "80"}).output
    return {words[0]: words[1:] for words in map(str.split, shown.splitlines()) if words}


def test_a_price_that_nobody_published_is_a_question_mark() -> None:
    # GiB, GB/s, TFLOPS, NVLink, CC, $/h, $ per TB/s-h
    assert rows()["a10"] == ["22", "600", "125", "none", "8.6", "?", "?"]


def test_arithmetic_that_a_gpu_does_not_have_is_not_unknown() -> None:
    assert rows("--precision", "fp4")["h100-sxm"][2:] == ["-", "900", "9.0", "6.88", "no", "fp4"]


def test_the_signs_are_explained_under_the_table() -> None:
    shown = CliRunner().invoke(main, ["gpus"], env={"COLUMNS": "80"}).output

    assert "? is unknown: give your price with --prices" in shown
    assert "- is not there" in shown
