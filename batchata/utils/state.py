"""The state file, under the module name that earlier releases had."""

from batchata.stores.manager import BatchState, StateManager

__all__ = ["BatchState", "StateManager"]
