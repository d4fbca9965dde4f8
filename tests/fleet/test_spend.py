"""What a LiteLLM proxy booked: by model, team and key, from Prometheus's answers."""

from fleet.documents import Json
from fleet.spend import CLIENTS_MAX, Client, Spend, spend_of


def tokens(value: float | str, **labels: str) -> Json:
    """A series, with the labels that LiteLLM does not set as it writes them."""
    usual = {
        "spend_kind": "tokens",
        "requested_model": "m",
        "team": "None",
        "team_alias": "None",
        "api_key_alias": "None",
        "hashed_api_key": "None",
    }
    return {"metric": {**usual, **labels}, "value": [100, str(value)]}


def dollars(value: float, **labels: str) -> Json:
    return tokens(value, spend_kind="usd", **labels)


def test_dollars_and_tokens_are_those_of_a_model_team_and_key() -> None:
    search = {"team_alias": "search", "api_key_alias": "one"}
    chat = {"team_alias": "chat", "api_key_alias": "two"}

    found = spend_of(
        [dollars(6, **search), tokens(3e6, **search), tokens(1e6, **chat), dollars(4, **chat)]
    )

    assert found == {
        Client(model="m", team="search", key="one"): Spend(usd=6, tokens=3e6),
        Client(model="m", team="chat", key="two"): Spend(usd=4, tokens=1e6),
    }
    assert [one.usd_per_million for one in found.values()] == [2, 4]


def test_a_name_that_is_not_set_is_the_next_best_or_unknown() -> None:
    series = [
        tokens(1, team="t-1", hashed_api_key="0e2b2c3d73142b1c"),
        tokens(2),
        tokens(4, team_alias="None"),
        tokens(8, requested_model=""),
        tokens("NaN", team_alias="gone"),
    ]
    assert spend_of(series) == {
        Client(model="m", team="t-1", key="0e2b2c3d"): Spend(tokens=1),
        Client(model="m"): Spend(tokens=6),
    }


def test_without_tokens_there_is_no_price_of_a_million() -> None:
    (one,) = spend_of([tokens(0), dollars(0)]).values()
    assert one.usd_per_million is None


def test_clients_without_end_are_not_all_kept() -> None:
    series = [tokens(1, api_key_alias=f"key-{number}") for number in range(CLIENTS_MAX + 5)]
    assert len(spend_of(series)) == CLIENTS_MAX
