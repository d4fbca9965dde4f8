import asyncio

# pytest-asyncio asks for a current loop before the first async test; asyncio then makes one that
# nobody closes, and a later collection of it fails an innocent test.
asyncio.set_event_loop(None)
