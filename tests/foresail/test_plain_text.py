"""Plain text off loopback is named; on loopback it is nobody's way in."""

from pathlib import Path

from foresail.serve.command import plain_text_off_loopback
from foresail.settings.file import read


def test_plain_text_is_warned_of_only_where_the_network_reaches_it(tmp_path: Path) -> None:
    def found(listen: str) -> dict[str, str]:
        path = tmp_path / "foresail.yaml"
        path.write_text(
            f"sources: [{{name: main, prometheus: {{url: 'http://127.0.0.1:1'}}}}]\n{listen}\n"
        )
        return plain_text_off_loopback(read(path))

    assert found("listen: {grpc: '127.0.0.1:0'}") == {}
    assert found("listen: {grpc: '[::1]:0'}") == {}
    assert found("listen: {grpc: '0.0.0.0:6500', plainText: true}") == {
        "listen.grpc": "0.0.0.0:6500"
    }
