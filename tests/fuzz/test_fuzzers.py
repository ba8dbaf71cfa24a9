"""The fuzzers run briefly with a fixed seed, and find planted faults."""

import argparse
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from breathing_room.hosts.server.frames import FrameReader
from tiers import figure, longer

SECONDS = longer(2, 600)

FUZZ = Path(__file__).parents[2] / "fuzz"


@pytest.mark.soak
@pytest.mark.parametrize(("program", "inputs_min"), [("frame_reader", 1_000), ("socket_frames", 100)])
def test_invariant_holds(program: str, inputs_min: int) -> None:
    """The invariant holds for two seconds of one seed, and in `make soak` for ten minutes of a new one."""
    done = subprocess.run(
        [
            sys.executable,
            str(FUZZ / f"{program}.py"),
            "--seconds",
            str(SECONDS),
            *longer(("--seed", "7"), ()),
        ],
        capture_output=True,
        text=True,
        timeout=60 + 2 * SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    figure(f"{program}: {done.stdout.splitlines()[-1]}")
    summary = re.search(r"^([\d,]+) inputs, and the invariant held: ", done.stdout, re.MULTILINE)
    assert summary, done.stdout
    assert int(summary[1].replace(",", "")) >= inputs_min


class Forgetful:
    """Forgets the beginning of a frame that was cut."""

    def feed(self, data: bytes, bytes_max: int) -> Iterator[tuple[int, bytes]]:
        return FrameReader().feed(data, bytes_max)


class Generous(FrameReader):
    """Takes one byte more than it should."""

    __slots__ = ()

    def feed(self, data: bytes, bytes_max: int) -> Iterator[tuple[int, bytes]]:
        return super().feed(data, bytes_max + 1)


class Careless(FrameReader):
    """Loses messages that are empty."""

    __slots__ = ()

    def feed(self, data: bytes, bytes_max: int) -> Iterator[tuple[int, bytes]]:
        return (event for event in super().feed(data, bytes_max) if event != (1, b""))


@pytest.mark.parametrize("broken", [Forgetful, Generous, Careless])
def test_planted_fault_is_found_again(
    broken: type, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A planted fault of a reader is found within seconds, and found again with the seed that is printed."""
    monkeypatch.syspath_prepend(str(FUZZ))
    fuzzing, frame_reader = importlib.import_module("fuzzing"), importlib.import_module("frame_reader")
    monkeypatch.setattr(frame_reader, "FrameReader", broken)

    assert fuzzing.campaign(frame_reader.try_one, argparse.Namespace(seconds=30, seed=7, only=None)) == 1
    found = re.search(r"BROKEN by input (\d+)", capsys.readouterr().out)
    assert found

    again = argparse.Namespace(seconds=1, seed=7, only=int(found[1]))
    assert fuzzing.campaign(frame_reader.try_one, again) == 1
    assert found.group() in capsys.readouterr().out
