"""Random numbers of single visitors."""

from statistics import fmean, stdev

import numpy as np
import pytest

from breathing_room.lab.sim.chance import Stream, VisitorRandom, first_draws, stream_key


def test_an_array_draws_as_each_would() -> None:
    """The first draws of many at once are those that each of them draws alone, to the last bit."""
    numbers = np.array([0, 1, 2, 63, 10**9, 2**36 - 1])
    for stream in Stream:
        key = stream_key(7, stream)
        assert first_draws(key, numbers).tolist() == [
            VisitorRandom(key, number).random() for number in numbers.tolist()
        ]


def test_streams_seeds_and_people_differ() -> None:
    """Neither another stream, nor another seed, nor another person draws the same; the same person does."""
    drawn = [
        VisitorRandom(stream_key(seed, stream), number).random()
        for seed in (1, 2)
        for stream in (Stream.POLLER, Stream.MOODS)
        for number in (1, 2)
    ]

    assert len(set(drawn)) == 8
    assert VisitorRandom(stream_key(1, Stream.POLLER), 1).random() == drawn[0]


def test_draws_are_uniform_and_unrelated() -> None:
    """Of 100,000 first draws the tenths hold what they should within five standard deviations, and neighbours
    do not follow each other.
    """
    drawn = first_draws(stream_key(3, Stream.NORMAL_CLOSURE), np.arange(100_000))
    counts = np.histogram(drawn, bins=10, range=(0, 1))[0]

    assert np.abs(counts - 10_000).max() < 5 * (100_000 * 0.1 * 0.9) ** 0.5
    assert abs(float(np.corrcoef(drawn[:-1], drawn[1:])[0, 1])) < 5 / 100_000**0.5


def test_times_of_waiting_are_exponential() -> None:
    """Their mean and their standard deviation are both the mean that was asked for."""
    chance = VisitorRandom(stream_key(1, Stream.NETWORK), 1)
    waits = [chance.exponential(50) for _ in range(20_000)]

    assert fmean(waits) == pytest.approx(50, rel=0.03)
    assert stdev(waits) == pytest.approx(50, rel=0.04)
    assert chance.exponential(0) == 0
