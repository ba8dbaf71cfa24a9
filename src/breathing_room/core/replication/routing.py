"""Which of the objects of a room a visitor is sent to."""

from collections.abc import Sequence
from hashlib import blake2b


def rank_shards(seed: bytes, shards: int) -> Sequence[int]:
    """Return the shards in the order in which to try them for a visitor.

    When their number doubles, half of the visitors keep the first one.

    Args:
        seed: What the visitor sends with each connection.
        shards: How many there are.

    Source: Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6 (1998) 1: highest random weight.
    """
    return sorted(
        range(shards), key=lambda shard: blake2b(shard.to_bytes(2, "little") + seed, digest_size=8).digest()
    )
