"""Pages that show what tenants run are for programs on this machine."""

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from foresail.ports.access import on_this_machine


async def shown(_: web.Request) -> web.Response:
    return web.Response(text="pods of all tenants")


async def status_for(peer: str, host: str) -> int:
    class Transport:
        def get_extra_info(self, _: str, default: object = None) -> object:
            return (peer, 4711)

    request = make_mocked_request("GET", "/gpus", headers={"Host": host}, transport=Transport())
    return (await on_this_machine(shown)(request)).status


async def test_a_program_on_this_machine_sees_the_page() -> None:
    assert await status_for("127.0.0.1", "127.0.0.1:8080") == 200
    assert await status_for("::1", "localhost:8080") == 200


async def test_another_pod_does_not() -> None:
    assert await status_for("10.4.0.7", "10.4.0.9:8080") == 403


async def test_a_foreign_name_that_points_to_this_machine_does_not() -> None:
    assert await status_for("127.0.0.1", "rebound.example:8080") == 403
