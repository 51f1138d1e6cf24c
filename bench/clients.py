"""HTTP clients that cost next to nothing: they take an answer and do not look into it."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What came back. rows: as the header tells; -1 where it does not."""

    good: bool
    seconds: float
    size: int
    rows: int


async def ask(address: tuple[str, int], path: str, body: bytes) -> Answer:
    """One answer on a connection of its own."""
    (answer,) = await _one(address, path, body, 1)
    return answer


async def crowd(
    address: tuple[str, int], path: str, body: bytes, clients: int, times: int
) -> list[Answer]:
    """The answers to `clients` at once, each asking `times` on one connection."""
    found = await asyncio.gather(*(_one(address, path, body, times) for _ in range(clients)))
    return [answer for answers in found for answer in answers]


async def _one(address: tuple[str, int], path: str, body: bytes, times: int) -> list[Answer]:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept-Encoding: zstd\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(*address, limit=2**20)
    found = []
    for _ in range(times):
        start = time.perf_counter()
        writer.write(head.encode() + body)
        status, headers = await _head(reader)
        size = await _body(reader, headers)
        took = time.perf_counter() - start
        rows = int(headers.get("matengine-rows", -1))
        found.append(Answer(status == 200, took, size, rows))
        if headers.get("connection") == "close":
            writer.close()
            reader, writer = await asyncio.open_connection(*address, limit=2**20)
    writer.close()
    return found


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines if line)
    return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> int:
    if "content-length" in headers:
        return len(await reader.readexactly(int(headers["content-length"])))
    size = 0
    while chunk := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(chunk + 2)
        size += chunk
    await reader.readexactly(2)
    return size
