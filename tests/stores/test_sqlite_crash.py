"""What was acknowledged survives ``kill -9``."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from breathing_room.stores import SqliteStore
from tiers import figure, longer

pytestmark = pytest.mark.slow

WRITER = """
import asyncio, sys
from breathing_room.stores import SqliteStore

async def main(path, first):
    store = await SqliteStore.open(path)
    for number in range(first, sys.maxsize):
        await store.put(f"new/{number}", b"%d," % number * 500)
        await store.put("same", b"%d," % number * 500)
        await store.delete(f"new/{number - 20}")
        print(number, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def content(number: int) -> bytes:
    """What the writer puts under a number."""
    return b"%d," % number * 500


async def read(path: Path) -> dict[str, bytes | None]:
    """Everything that is kept."""
    store = await SqliteStore.open(path)
    try:
        return {key: await store.get(key) for key in await store.list("")}
    finally:
        await store.close()


@pytest.mark.soak
def test_ten_kills(tmp_path: Path) -> None:
    """A writer is killed again and again at random points: the file opens, and has every value that was
    acknowledged.
    """
    path = tmp_path / "room.db"
    chance = random.Random(4)
    last = 0
    for _ in range(longer(10, 500)):
        lines_max = chance.randrange(1, 300)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(last + 1)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(lines_max):
                writer.stdout.readline()
            writer.kill()
            # What was written to the pipe before the kill was acknowledged as well.
            acknowledged = last + lines_max + len(writer.stdout.readlines())
        assert writer.returncode == -9
        assert path.with_name("room.db-wal").exists(), "the writer had time to close its file"

        kept = asyncio.run(read(path))
        # The next number may have been under way.
        for number in range(max(1, acknowledged - 18), acknowledged + 1):
            assert kept[f"new/{number}"] == content(number)
        assert kept["same"] in {content(acknowledged), content(acknowledged + 1)}
        assert kept.keys() <= {
            "same",
            *(f"new/{number}" for number in range(acknowledged - 20, acknowledged + 2)),
        }
        assert all(value == content(int(key[4:])) for key, value in kept.items() if key != "same")
        last = acknowledged
    figure(f"{longer(10, 500)} kills, {last:,} acknowledged writes, none lost")
