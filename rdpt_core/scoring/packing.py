"""Sequences into packs of a bounded number of tokens, for scoring and for fine-tuning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def packed(
    names: Collection[int], lengths: Mapping[int, int] | Sequence[int], most: int
) -> list[list[int]]:
    """Names in packs of at most `most` tokens, the longest first; a longer sequence is alone.

    First-fit decreasing: each pack nearly full, and at most 11/9 of the fewest that would do.
    Depends on names and lengths alone, whatever their order.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for name in sorted(names, key=lambda name: (-lengths[name], name)):
        place = next((i for i, left in enumerate(room) if left >= lengths[name]), len(packs))
        if place == len(packs):
            packs.append([])
            room.append(most)
        packs[place].append(name)
        room[place] -= lengths[name]
    return packs
