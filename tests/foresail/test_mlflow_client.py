"""What an MLflow server refuses is told without what was sent to it."""

from pathlib import Path

import pytest

from foresail.meters.mlflow import MlflowClient, MlflowError, MlflowServer
from tests.sources.prometheus_stub import Stub, serving

# Sockets take real time.
pytestmark = pytest.mark.looptime(False)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_login_names_the_option_and_shows_no_secret(
    status: int, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    stub = Stub(status=status, body="no such token: Bearer s3cret")
    async with serving(stub):
        server = MlflowServer(url=stub.url, token_file=tmp_path / "token")
        async with MlflowClient(server=server) as client:
            with pytest.raises(MlflowError) as refused:
                await client.running()

    assert str(refused.value) == (
        f"MLflow {stub.url}: experiments/search: {status}: give a token, or USER:PASSWORD, in "
        "--mlflow-token-file"
    )
