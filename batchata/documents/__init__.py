"""Files that jobs ask about: read, recognised and checked."""

from batchata.documents.checked import CheckedFile
from batchata.documents.load import Wanted, load, load_all
from batchata.documents.splice import spliced, spliced_size

__all__ = ["CheckedFile", "Wanted", "load", "load_all", "spliced", "spliced_size"]
