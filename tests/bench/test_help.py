"""Every option of every benchmark says what it is for."""

import argparse
import importlib
from typing import Any

import pytest

from bench.__main__ import names


@pytest.mark.parametrize("name", names())
def test_every_option_has_a_text(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent: list[str] = []
    plain = argparse.ArgumentParser.add_argument

    def noting(self: argparse.ArgumentParser, *flags: str, **more: Any) -> argparse.Action:
        if more.get("help") is None:
            silent.append(" ".join(flags))
        return plain(self, *flags, **more)

    monkeypatch.setattr(argparse.ArgumentParser, "add_argument", noting)
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"bench.{name}").main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")
    assert silent == []
