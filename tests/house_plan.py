"""The house plan as tables, and how the code is read to hold it against them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "batchata"

CORE, PORTS, ADAPTERS, SDK, DOORS, PEOPLE = range(6)
ENGINE: Final = "engine"
FLOORS: Final = {
    "core": CORE,
    "ports": PORTS,
    "disk": PORTS,
    "providers": ADAPTERS,
    "prices": ADAPTERS,
    "documents": ADAPTERS,
    "stores": ADAPTERS,
    "sinks": ADAPTERS,
    ENGINE: ADAPTERS,
    "testing": ADAPTERS,
    "batch": SDK,
    "run": SDK,
    "sdk": SDK,
    "rows": SDK,
    "configs": SDK,
    # names of earlier releases: nothing of ours imports these four
    "compat": SDK,
    "exceptions": SDK,
    "types": SDK,
    "utils": SDK,
    "": SDK,  # the package itself, which only re-exports
    "frames": DOORS,
    "generate": DOORS,
    "gateway": DOORS,
    "integrations": DOORS,
    "report": DOORS,
    "cli": PEOPLE,
    "__main__": PEOPLE,
}
#: rooms of the gateway → those that they may take from besides its loose modules
GATEWAY_ROOMS: Final = {
    "wire": set[str](),
    "sandbox": {"wire"},
    "proxy": {"wire", "batches", "held"},  # its server puts all three together
    "batches": {"wire", "proxy"},
    "held": {"wire", "proxy", "batches"},
}
#: the only ones that may name adapters and engine together
BOTH_SIDES: Final = {"batchata/sdk/wiring.py", "batchata/__init__.py"}

MOST_LINES: Final = 400
MOST_BODY_LINES: Final = 60
MOST_PUBLIC_METHODS: Final = 15
VAGUE_NAMES: Final = {"utils", "helpers", "common", "misc"}
#: a vague name all the same, and why; only re-exports may be in it
KNOWN_NAMES: Final = {"batchata/utils/": "a module that users of earlier releases import"}
IO_MODULES: Final = {
    "aiohttp",
    "asyncio",
    "concurrent",
    "http",
    "httpx",
    "io",
    "logging.handlers",
    "multiprocessing",
    "os",
    "random",
    "requests",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}
#: methods that read the clock or a disk, whatever they belong to
WORLD_METHODS: Final = {
    "now",
    "utcnow",
    "today",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "exists",
    "stat",
    "mkdir",
    "unlink",
}
#: files of core that touch a disk all the same, and why
CORE_WRITERS: Final = {"batchata/core/result.py": "JobResult.save_to_json, a name users know"}
#: below the SDK only these read the environment, and why
ENVIRONMENT_READERS: Final = {
    "batchata/providers/openai/client.py": "keys of vendors that OpenAI's SDK does not know",
}
#: how often `except Exception` may swallow, and where
BROAD_EXCEPTS: Final = {
    "batchata/core/model_code.py": 1,  # validators and serializers of the user
    "batchata/sdk/run_sinks.py": 1,  # telling sinks
    "batchata/sdk/driver.py": 1,  # calling the user back
    "batchata/run.py": 1,  # handed to wait()
    "batchata/engine/feeding.py": 1,  # scripts of the user, raised by the run
    "batchata/integrations/langchain/asking.py": 1,  # chains of the user
    "batchata/sinks/eventlog/place.py": 1,  # filesystems of strangers
    "batchata/gateway/proxy/chain.py": 1,  # asking interceptors
    "batchata/gateway/proxy/isolation.py": 2,  # telling interceptors, settling, and gauges
    "batchata/gateway/proxy/http/serving.py": 2,  # answering: the client is told, the log too
    "batchata/gateway/proxy/config/registry.py": 1,  # importing and making interceptors
    "batchata/gateway/threaded.py": 1,  # raised by who waits for the start
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> list[str]:
    """Python files below the folders, named from the root of the repository."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


PACKAGE_FILES: Final = sources("batchata")
ALL_FILES: Final = sources("batchata", "tests", "examples", "benchmarks")
CORE_FILES: Final = sources("batchata/core")


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


@cache
def nodes_of(file: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(file)))


def part_of(name: str) -> str:
    """The part of the package that a file or a dotted module name belongs to."""
    parts = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__").split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    """Modules that are imported, with line numbers; `from a import b` counts as `a.b`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def house_imports(file: str) -> set[tuple[str, int]]:
    """Parts of the package that a file imports, function-level imports included."""
    found = set()
    for module, line in imports(nodes_of(file)):
        # a name imported from the package itself counts as the part it may be
        if is_one_of(module, ["batchata"]):
            part = part_of(module)
            found.add((part if part in FLOORS else "", line))
    return found


def gateway_room_of(name: str) -> str:
    """The room of the gateway that a file or a module belongs to; empty for any other."""
    parts = name.removesuffix(".py").replace("/", ".").split(".")
    is_inside = parts[:2] == ["batchata", "gateway"] and len(parts) > 2
    return parts[2] if is_inside and parts[2] in GATEWAY_ROOMS else ""


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: no function bodies, no type checking."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from run_at_import(child)


def is_one_of(module: str, names: Iterable[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def calls(file: str) -> Iterator[ast.Call]:
    return (node for node in nodes_of(file) if isinstance(node, ast.Call))


def may_import(importer: str, imported: str) -> bool:
    """The rule of the floors, between two parts of the package."""
    if importer == imported:
        return True
    above, below = FLOORS[importer], FLOORS[imported]
    if imported == "testing":
        return False
    if importer == "testing":
        return below <= ADAPTERS
    if above == below == ADAPTERS:
        return ENGINE not in (importer, imported)
    if above == below == DOORS:
        return False
    return below <= above


#: files of the package that the plan knows
PLACED_FILES: Final = [file for file in PACKAGE_FILES if part_of(file) in FLOORS]


def complaints(files: Iterable[str], rule: Callable[[str], Iterable[object]]) -> list[str]:
    """What a rule says against the files, with their names."""
    return [f"{file}: {complaint}" for file in files for complaint in rule(file)]
