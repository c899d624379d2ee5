"""The doors that speak HTTP: today the sandbox, a vendor made of scripted answers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchata.gateway.faults import FAULTS, with_faults
    from batchata.gateway.ledger import Ledger
    from batchata.gateway.sandbox import Sandbox
    from batchata.gateway.scenario import BatchFault, HttpFault, ItemFault, Scenario
    from batchata.gateway.server import serve

__all__ = [
    "FAULTS",
    "BatchFault",
    "HttpFault",
    "ItemFault",
    "Ledger",
    "Sandbox",
    "Scenario",
    "serve",
    "with_faults",
]

_HOMES = {
    "FAULTS": "faults",
    "BatchFault": "scenario",
    "HttpFault": "scenario",
    "ItemFault": "scenario",
    "Ledger": "ledger",
    "Sandbox": "sandbox",
    "Scenario": "scenario",
    "serve": "server",
    "with_faults": "faults",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
