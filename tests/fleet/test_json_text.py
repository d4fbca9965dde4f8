"""JSON of any depth, and a claim whose opaque parameters a tenant nested."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_asyncio.client import ApiClient, Configuration

from fleet.cluster.follow.json_text import DEPTH_MAX, document_of
from fleet.cluster.follow.watch import Changed, Listed, watched
from fleet.cluster.kinds import Kind, record_of

CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
DEEP = '{"a":' * 3000 + '"]"' + "}" * 3000


def _claim(name: str) -> str:
    parameters = f'[{{"opaque":{{"driver":"gpu.nvidia.com","parameters":{DEEP}}}}}]'
    metadata = f'{{"name":"{name}","namespace":"llm","resourceVersion":"2"}}'
    return f'{{"metadata":{metadata},"spec":{{"devices":{{"config":{parameters}}}}}}}'


def test_what_is_too_deep_is_left_out_and_the_rest_is_read() -> None:
    text = f'{{"first":"{{\\"","deep":{DEEP},"flat":[[]],"again":{DEEP},"last":1}}'
    found = document_of(text.encode())

    assert isinstance(found, dict)
    assert (found["first"], found["flat"], found["last"]) == ('{"', [[]], 1)
    for name in ("deep", "again"):
        kept, levels = found[name], 1
        while kept is not None:
            kept, levels = kept["a"], levels + 1
        assert levels == DEPTH_MAX


@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 5000, "]" * 5000, '["' * 5000])
def test_what_is_deep_and_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        document_of(text.encode())


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_json_writes_beside_something_deep_comes_back(document: object) -> None:
    text = f"[{json.dumps(document)},{DEEP},{json.dumps(document, ensure_ascii=False)}]"
    found = document_of(text.encode("utf-8", "surrogatepass"))
    assert isinstance(found, list)
    assert found[0] == found[2] == document


@pytest.fixture
async def client() -> AsyncIterator[ApiClient]:
    """Of an API server that has one such claim and is told of another."""

    async def answer(request: web.Request) -> web.Response:
        if "watch" in request.query:
            return web.Response(text=f'{{"type":"ADDED","object":{_claim("b")}}}\n')
        return web.Response(
            text=f'{{"metadata":{{"resourceVersion":"1"}},"items":[{_claim("a")}]}}',
            content_type="application/json",
        )

    app = web.Application()
    app.router.add_get(CLAIMS, answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api = ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    yield api
    await api.close()
    await runner.cleanup()


@pytest.mark.looptime(False)  # sockets live in real time
async def test_a_claim_with_deep_parameters_is_followed_as_any_other(client: ApiClient) -> None:
    async with aclosing(watched(client, CLAIMS, partial(record_of, Kind.CLAIM))) as events:
        async with asyncio.timeout(60):
            listed, changed = [await anext(events) for _ in range(2)]

    assert isinstance(listed, Listed)
    assert isinstance(changed, Changed)
    assert [one.name for one in listed.records] == ["llm/a"]
    assert changed.record.name == "llm/b"
