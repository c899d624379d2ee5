"""For authors of plug-ins: working fakes of every port, and the contracts an own one must keep.

`batchata.testing.contracts` needs pytest and hypothesis; the fakes need nothing.
"""

from batchata.testing.clock import FakeClock
from batchata.testing.fake_background import FakeBackgroundAPI
from batchata.testing.fake_codec import FakeCodec
from batchata.testing.fake_files import FakeFilesAPI
from batchata.testing.fake_vendor import FakeBatchAPI, FakeProvider
from batchata.testing.memory_store import MemoryStore

__all__ = [
    "FakeBackgroundAPI",
    "FakeBatchAPI",
    "FakeClock",
    "FakeCodec",
    "FakeFilesAPI",
    "FakeProvider",
    "MemoryStore",
]
