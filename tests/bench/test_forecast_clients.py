"""A prior that has seen the judged trace is never taken in silence where one was asked for."""

from pathlib import Path

import pytest

from bench.forecast_clients import main


def test_a_folder_without_a_prior_of_the_family_is_told(tmp_path: Path) -> None:
    trace = tmp_path / "servegen_clients.csv"
    trace.write_text("t_s,m_small_a\n0,1\n600,2\n")
    with pytest.raises(SystemExit, match=r"has no prior for servegen_clients.*--leave-out FAMILY"):
        main(["--trace", str(trace), "--priors", str(tmp_path)])
