"""Files that jobs ask about: read, recognised and checked."""

from batchata.documents.load import load

__all__ = ["load"]
