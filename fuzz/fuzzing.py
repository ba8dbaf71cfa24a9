"""What the fuzzers share: seeded makers of frames, mutations and cuts, and the loop with its report.

Every input has a generator of its own, seeded by the campaign's seed and the input's number, so that one line
brings any input back: ``python fuzz/frame_reader.py --seed 7 --only 1234``.
"""

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from raw_websocket import MASK, Opcode, encode_frame


class FindingError(AssertionError):
    """The invariant broke.

    Args:
        message: How.
        pieces: The bytes that did it, as they were cut.
    """

    def __init__(self, message: str, pieces: list[bytes]) -> None:
        super().__init__(message)
        self.pieces = pieces


def one_in(rng: random.Random, number: int) -> bool:
    """Be true once in so many times."""
    return rng.randrange(number) == 0


def random_text(rng: random.Random, length_max: int) -> bytes:
    """Make text of all widths of UTF-8, seldom not UTF-8."""
    text = "".join(rng.choice('a{"0é€😀\0') for _ in range(rng.randint(0, length_max) // 2)).encode()
    return rng.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x80"]) + text if one_in(rng, 12) else text


def random_mask(rng: random.Random) -> bytes:
    """Make a mask."""
    return rng.choice([MASK, bytes(4), rng.randbytes(4)])


def random_close(rng: random.Random) -> bytes:
    """Make the body of a close frame, good or bad."""
    code = rng.choice(
        [1000, 1000, 1001, 1005, 1011, 1014, 1015, 2999, 3000, 4999, 5000, rng.randrange(0x10000)]
    )
    body = code.to_bytes(2, "big") + random_text(rng, 30)
    return rng.choice([b"", body, body, body[:2], body[:1]])


def random_frame(rng: random.Random, *, inside: bool, payload: bytes) -> tuple[bytes, bool]:
    """Make a frame: mostly a right one.

    Args:
        rng: The source of chance.
        inside: Whether a fragmented message is under way.
        payload: What it carries, if it is a data frame.

    Returns:
        The frame, and whether a fragmented message is under way after it.
    """
    mask = random_mask(rng)
    if one_in(rng, 4):
        opcode = rng.choice([Opcode.PING, Opcode.PING, Opcode.PONG, Opcode.CLOSE])
        body = random_close(rng) if opcode == Opcode.CLOSE else rng.randbytes(rng.choice([0, 1, 4, 125]))
        return encode_frame(opcode, body, mask=mask), inside
    if one_in(rng, 12):  # Any fault, or several.
        declared = rng.choice(
            [len(payload), len(payload), rng.randrange(256), rng.randrange(1 << 16), rng.randrange(1 << 64)]
        )
        wrong = encode_frame(
            rng.randrange(16),
            payload,
            fin=not one_in(rng, 3),
            rsv=rng.choice([0, 0, 1, 2, 4]),
            mask=None if one_in(rng, 4) else mask,
            length_bytes=rng.choice([None, 8, 2 if declared <= 0xFFFF else 8]),
            declared=declared,
        )
        return wrong, inside
    opcode = Opcode.CONTINUATION if inside else Opcode.TEXT
    fin = not one_in(rng, 2 if inside else 4)
    return encode_frame(opcode, payload, fin=fin, mask=mask), not fin


def random_frames(rng: random.Random, make_payload: Callable[[], bytes]) -> bytes:
    """Make a stream of frames: mostly right ones, seldom one that is not."""
    stream, inside = bytearray(), False
    for _ in range(rng.choice([1, 2, 4, 8, 16])):
        data, inside = random_frame(rng, inside=inside, payload=make_payload())
        stream += data
    return bytes(stream)


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Flip, drop, double, insert or cut off bytes, one to four times."""
    mutated = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(mutated) + 1)
        length = rng.choice([1, 1, 2, 4, 16])
        match rng.randrange(6):
            case 0:
                mutated[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in mutated[at : at + 1])
            case 1:
                mutated[at : at + 1] = rng.randbytes(1)
            case 2:
                del mutated[at : at + length]
            case 3:
                mutated[at:at] = mutated[at : at + length]
            case 4:
                mutated[at:at] = rng.randbytes(length)
            case 5:
                del mutated[at:]
    return bytes(mutated)


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    """Cut a stream as a network might: whole, byte by byte, or anywhere."""
    match rng.randrange(3):
        case 0:
            return [data]
        case 1 if len(data) < 2000:
            return [data[i : i + 1] for i in range(len(data))]
        case _:
            edges = sorted(rng.choices(range(len(data) + 1), k=rng.randint(1, 8)))
            return [
                data[start:end] for start, end in itertools.pairwise([0, *edges, len(data)]) if start < end
            ]


def campaign(try_one: Callable[[random.Random], str], argv: argparse.Namespace) -> int:
    """Try inputs until the time is over, and say what came of it.

    Args:
        try_one: Makes one input, tries it, names its outcome; raises `FindingError` when the invariant
            breaks.
        argv: What `arguments` read.

    Returns:
        The exit status: 0 when the invariant held.
    """
    outcomes: Counter[str] = Counter()
    until_s = time.monotonic() + argv.seconds
    print(f"seed {argv.seed}", flush=True)
    for index in itertools.count() if argv.only is None else [argv.only]:
        try:
            outcomes[try_one(random.Random(f"{argv.seed}:{index}"))] += 1
        except FindingError as finding:
            print(f"BROKEN by input {index}: {finding}")
            print(f"again with: python {sys.argv[0]} --seed {argv.seed} --only {index}")
            print(f"its bytes, as they were cut: {' '.join(piece.hex() for piece in finding.pieces)}")
            return 1
        except Exception:
            print(
                f"BROKEN by input {index}; again with: python {sys.argv[0]} --seed {argv.seed} --only {index}"
            )
            raise
        if time.monotonic() > until_s:
            break
    print(f"{outcomes.total():,} inputs, and the invariant held: ", end="")
    print(", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common()))
    return 0


def arguments(description: str | None) -> argparse.Namespace:
    """Read the command line of a fuzzer."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=10, help="how long to try (10)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1 << 32), help="where chance begins (any)"
    )
    parser.add_argument("--only", type=int, help="try this one input of the seed")
    return parser.parse_args()
