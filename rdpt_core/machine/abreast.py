"""An ordered concurrent map, for work that other processes or machines do.

Not `Executor.map`, which starts all items at once and, after an error, starts the rest of them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def abreast(function: Callable[[T], R], items: Sequence[T], width: int) -> Iterator[R]:
    """`function` of each item, in order, at most `width` calls at the same time.

    After an error no new call starts; running calls finish first, so that their results are not
    lost. Then the first error is raised. A width of 1 uses no thread.
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
                yield result  # type: ignore[misc]  # None only after an error
        finally:
            failed.append(GeneratorExit())  # the consumer has stopped
    if not isinstance(failed[0], GeneratorExit):
        raise failed[0]
