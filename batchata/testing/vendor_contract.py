"""What contracts of a vendor's APIs share: how one of them is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from batchata.ports import Provider

T = TypeVar("T")


class VendorContract:
    """`open_provider(tmp_path)` must lead to a vendor, or a stand-in, that answers requests."""

    #: a model that the vendor has
    model: str = "fake-model"

    def open_provider(self, folder: Path) -> AbstractContextManager[Callable[[], Provider]]:
        """A context in which the vendor is there; it gives what makes a provider for it."""
        raise NotImplementedError

    def ask(self, folder: Path, work: Callable[[Provider], Coroutine[Any, Any, T]]) -> T:
        """Do something with a provider, and close it."""

        async def main(make: Callable[[], Provider]) -> T:
            provider = make()
            try:
                return await work(provider)
            finally:
                await provider.aclose()

        with self.open_provider(folder) as make:
            return asyncio.run(main(make))
