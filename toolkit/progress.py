"""How a stage tells that it is still at work, without knowing who is listening."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Yields the items it is given and shows how far it is: ``track(items, description, total)``."""

    def __call__(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
        """Yield every item of ``items``; ``total`` is how many there will be."""
        ...


def silent(items: Iterable[T], _description: str, _total: int, /) -> Iterable[T]:
    """Yield the items and show nothing."""
    return items
