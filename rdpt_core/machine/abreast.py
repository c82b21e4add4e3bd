"""Waiting for several things at once: an ordered map, for work that is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def abreast(function: Callable[[T], R], items: Sequence[T], width: int) -> Iterator[R]:
    """`function` of each item, in their order, at most `width` of them at the same time.

    After an error nothing new begins; what has begun ends first, so that it is not lost. Then the
    first error is raised. A width of 1 takes no thread.
    """
    if width == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(min(width, max(1, len(items)))) as pool:
        failed: list[BaseException] = []

        def unless_failed(item: T) -> R | None:
            if failed:
                return None
            try:
                return function(item)
            except BaseException as error:
                failed.append(error)
                raise

        futures: list[Future[R | None]] = [pool.submit(unless_failed, item) for item in items]
        try:
            for future in futures:
                result = future.result()
                if failed:
                    break
                yield result  # type: ignore[misc]  # None only where something failed
        finally:
            failed.append(GeneratorExit())  # whoever asked wants no more
    if not isinstance(failed[0], GeneratorExit):
        raise failed[0]
