"""`bench rpc` refuses options with which nothing would be measured, and says what to give."""

import pytest

from bench.rpc import main

SHORT = "it takes 15 or more, the longer of --poll and --hpa, so that each object is asked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--seconds", "5"], f"--seconds 5: {SHORT}", id="shorter-than-a-poll"),
        pytest.param(
            ["--seconds", "15", "--hpa", "30"], "--seconds 15: it takes 30 or more", id="hpa"
        ),
        pytest.param(["--seconds", "nan"], f"--seconds nan: {SHORT}", id="no-number"),
        pytest.param(["--poll", "0"], "--poll 0: it takes seconds above 0", id="no-period"),
        pytest.param(["--objects", "0"], "--objects 0: it takes 1 or more", id="no-object"),
        pytest.param(
            ["--objects", "9", "--hung", "9"],
            "--hung 9: it takes 0 to 8, under --objects",
            id="hung",
        ),
    ],
)
def test_options_with_which_nothing_is_measured_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
