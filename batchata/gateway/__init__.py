"""The parts that speak HTTP: the proxy, and the sandbox, a vendor that gives scripted answers."""

from typing import TYPE_CHECKING

from batchata.core.lazy import lazy_exports

if TYPE_CHECKING:
    from batchata.gateway.proxy.exchange import Answered, Exchange
    from batchata.gateway.proxy.interceptor import (
        CONTINUE,
        Continue,
        Interceptor,
        Outcome,
        Reject,
        Replace,
        Respond,
    )
    from batchata.gateway.proxy.local import Gateway
    from batchata.gateway.proxy.tape.cassette_gateway import CassetteGateway
    from batchata.gateway.proxy.telemetry.events import GatewayEvent
    from batchata.gateway.sandbox.faults import FAULTS, with_faults
    from batchata.gateway.sandbox.ledger import Ledger
    from batchata.gateway.sandbox.sandbox import Sandbox
    from batchata.gateway.sandbox.scenario import BatchFault, HttpFault, ItemFault, Scenario
    from batchata.gateway.sandbox.server import serve

__all__ = [
    "CONTINUE",
    "FAULTS",
    "Answered",
    "BatchFault",
    "CassetteGateway",
    "Continue",
    "Exchange",
    "Gateway",
    "GatewayEvent",
    "HttpFault",
    "Interceptor",
    "ItemFault",
    "Ledger",
    "Outcome",
    "Reject",
    "Replace",
    "Respond",
    "Sandbox",
    "Scenario",
    "serve",
    "with_faults",
]

_HOMES = {
    "CONTINUE": ".proxy.interceptor",
    "FAULTS": ".sandbox.faults",
    "Answered": ".proxy.exchange",
    "BatchFault": ".sandbox.scenario",
    "CassetteGateway": ".proxy.tape.cassette_gateway",
    "Continue": ".proxy.interceptor",
    "Exchange": ".proxy.exchange",
    "Gateway": ".proxy.local",
    "GatewayEvent": ".proxy.telemetry.events",
    "HttpFault": ".sandbox.scenario",
    "Interceptor": ".proxy.interceptor",
    "ItemFault": ".sandbox.scenario",
    "Ledger": ".sandbox.ledger",
    "Outcome": ".proxy.interceptor",
    "Reject": ".proxy.interceptor",
    "Replace": ".proxy.interceptor",
    "Respond": ".proxy.interceptor",
    "Sandbox": ".sandbox.sandbox",
    "Scenario": ".sandbox.scenario",
    "serve": ".sandbox.server",
    "with_faults": ".sandbox.faults",
}


__getattr__ = lazy_exports(__name__, _HOMES)
