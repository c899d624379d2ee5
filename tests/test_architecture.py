"""The house plan, held: floors, sizes, and what may be imported where."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "batchata"

CORE, PORTS, ADAPTERS, SDK, DOORS, PEOPLE = range(6)
ENGINE: Final = "engine"
FLOORS: Final = {
    "core": CORE,
    "ports": PORTS,
    "providers": ADAPTERS,
    "prices": ADAPTERS,
    "documents": ADAPTERS,
    "stores": ADAPTERS,
    "sinks": ADAPTERS,
    ENGINE: ADAPTERS,
    "testing": ADAPTERS,
    "batch": SDK,
    "run": SDK,
    "settings": SDK,
    "driving": SDK,
    "known_run": SDK,
    "estimate": SDK,
    "results": SDK,
    "rows": SDK,
    # names of earlier releases: nothing of ours imports these four
    "compat": SDK,
    "exceptions": SDK,
    "types": SDK,
    "utils": SDK,
    "wiring": SDK,
    "": SDK,  # the package itself, which only re-exports
    "frames": DOORS,
    "generate": DOORS,
    "gateway": DOORS,
    "integrations": DOORS,
    "report": DOORS,
    "cli": PEOPLE,
    "dashboard": PEOPLE,
    "__main__": PEOPLE,
}
#: the only ones that may name adapters and engine together
BOTH_SIDES: Final = {"batchata/wiring.py", "batchata/__init__.py"}

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
#: how often `except Exception` may swallow, and where
BROAD_EXCEPTS: Final = {
    "batchata/wiring.py": 1,  # telling sinks
    "batchata/driving.py": 1,  # calling the user back
    "batchata/run.py": 1,  # handed to wait()
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
    for module, line in imports(ast.walk(tree_of(file))):
        # a name imported from the package itself counts as the part it may be
        if is_one_of(module, ["batchata"]):
            part = part_of(module)
            found.add((part if part in FLOORS else "", line))
    return found


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
    return (node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call))


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


def test_every_file_has_a_floor() -> None:
    assert [file for file in PACKAGE_FILES if part_of(file) not in FLOORS] == []


def test_imports_point_down() -> None:
    def rule(file: str) -> list[str]:
        importer = part_of(file)
        return [
            f"line {line}: {importer or 'batchata'} imports {imported or 'batchata'}"
            for imported, line in sorted(house_imports(file))
            if not may_import(importer, imported)
        ]

    assert complaints(PLACED_FILES, rule) == []


@pytest.mark.parametrize(
    ("importer", "imported", "is_allowed"),
    [
        ("core", "ports", False),
        ("ports", "core", True),
        ("providers", "engine", False),
        ("engine", "stores", False),
        ("providers", "documents", True),
        ("batch", "run", True),
        ("gateway", "frames", False),
        ("gateway", "providers", True),
        ("cli", "gateway", True),
        ("gateway", "cli", False),
        ("testing", "engine", True),
        ("testing", "run", False),
        ("cli", "testing", False),
    ],
)
def test_the_rule_of_the_floors(importer: str, imported: str, is_allowed: bool) -> None:
    assert may_import(importer, imported) is is_allowed


def test_only_wiring_names_adapters_and_engine_together() -> None:
    def has_both(file: str) -> bool:
        parts = {part for part, _ in house_imports(file)}
        adapters = {part for part in parts if FLOORS[part] == ADAPTERS} - {ENGINE, "testing"}
        return ENGINE in parts and bool(adapters)

    assert [file for file in PACKAGE_FILES if has_both(file) and file not in BOTH_SIDES] == []


def test_imports_are_absolute() -> None:
    def rule(file: str) -> list[int]:
        nodes = ast.walk(tree_of(file))
        return [node.lineno for node in nodes if isinstance(node, ast.ImportFrom) and node.level]

    assert complaints(ALL_FILES, rule) == []


def test_files_are_short() -> None:
    def rule(file: str) -> list[str]:
        lines = len((ROOT / file).read_text(encoding="utf-8").splitlines())
        return [f"{lines} lines"] if lines > MOST_LINES else []

    assert complaints(ALL_FILES, rule) == []


def test_functions_are_short() -> None:
    def rule(file: str) -> list[str]:
        functions = [node for node in ast.walk(tree_of(file)) if isinstance(node, Function)]
        sizes = ((node.name, body_lines(node)) for node in functions)
        return [f"{name}: {lines} lines" for name, lines in sizes if lines > MOST_BODY_LINES]

    assert complaints(ALL_FILES, rule) == []


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function after its signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_classes_have_few_public_methods() -> None:
    def rule(file: str) -> list[str]:
        classes = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.ClassDef)]
        counts = ((node.name, len(public_methods(node))) for node in classes)
        return [f"{name}: {count}" for name, count in counts if count > MOST_PUBLIC_METHODS]

    assert complaints(PACKAGE_FILES, rule) == []


def public_methods(node: ast.ClassDef) -> set[str]:
    """Methods that a caller calls; properties read as data."""
    return {
        each.name
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and not each.name.startswith("_")
        and not any("property" in ast.unparse(mark) for mark in each.decorator_list)
    }


def test_no_file_has_a_vague_name() -> None:
    def words(file: str) -> set[str]:
        return set(file.removesuffix(".py").split("/"))

    ours = [file for file in PACKAGE_FILES if not file.startswith(tuple(KNOWN_NAMES))]

    assert [file for file in ours if VAGUE_NAMES & words(file)] == []


def test_modules_of_earlier_releases_only_re_export() -> None:
    def rule(file: str) -> list[str]:
        kept = [node for node in tree_of(file).body if isinstance(node, ast.ClassDef | Function)]
        return [node.name for node in kept if node.name != "__getattr__"]

    files = [file for file in PACKAGE_FILES if file.startswith(tuple(KNOWN_NAMES))]

    assert complaints([*files, "batchata/exceptions.py", "batchata/types.py"], rule) == []


def test_nothing_of_ours_uses_the_names_of_earlier_releases() -> None:
    old = {"compat", "exceptions", "types", "utils"}

    def rule(file: str) -> set[str]:
        return (
            {part for part, _ in house_imports(file)} & old if part_of(file) not in old else set()
        )

    assert complaints(PACKAGE_FILES, rule) == []


def test_core_imports_nothing_that_touches_the_world() -> None:
    def rule(file: str) -> list[str]:
        found = imports(ast.walk(tree_of(file)))
        return [f"line {line}: {name}" for name, line in found if is_one_of(name, IO_MODULES)]

    assert complaints(CORE_FILES, rule) == []


def test_core_reads_no_clock_and_opens_no_file() -> None:
    def rule(file: str) -> list[str]:
        return [
            ast.unparse(call)
            for call in calls(file)
            if (isinstance(call.func, ast.Attribute) and call.func.attr in WORLD_METHODS)
            or (isinstance(call.func, ast.Name) and call.func.id in {"open", "input"})
        ]

    files = [file for file in CORE_FILES if file not in CORE_WRITERS]

    assert complaints(files, rule) == []


def test_core_is_not_async() -> None:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)

    def rule(file: str) -> list[int]:
        return [node.lineno for node in ast.walk(tree_of(file)) if isinstance(node, kinds)]

    assert complaints(CORE_FILES, rule) == []


def test_the_http_library_is_imported_in_one_file_and_the_gateway() -> None:
    def rule(file: str) -> list[int]:
        if file == "batchata/providers/transport.py" or part_of(file) == "gateway":
            return []
        found = imports(ast.walk(tree_of(file)))
        return [line for name, line in found if is_one_of(name, ["aiohttp"])]

    assert complaints(PACKAGE_FILES, rule) == []


def test_vendor_sdks_are_imported_on_first_use() -> None:
    def rule(file: str) -> list[int]:
        found = imports(run_at_import(tree_of(file)))
        return [line for name, line in found if is_one_of(name, ["openai", "anthropic"])]

    assert complaints(PACKAGE_FILES, rule) == []


def test_the_library_does_not_print() -> None:
    def rule(file: str) -> list[int]:
        return [call.lineno for call in calls(file) if ast.unparse(call.func) == "print"]

    assert complaints(PACKAGE_FILES, rule) == []


def test_errors_are_caught_by_name() -> None:
    found = {file: broad_excepts(file) for file in PACKAGE_FILES}

    wrong = {
        file: lines for file, lines in found.items() if len(lines) != BROAD_EXCEPTS.get(file, 0)
    }

    assert wrong == {}


def broad_excepts(file: str) -> list[int]:
    handlers = (node for node in ast.walk(tree_of(file)) if isinstance(node, ast.ExceptHandler))
    return [node.lineno for node in handlers if swallows_everything(node)]


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    """True for a handler of any error that does not end by raising it again."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def test_the_environment_is_read_by_the_sdk_and_above() -> None:
    def rule(file: str) -> set[str]:
        nodes = list(ast.walk(tree_of(file)))
        used = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
        named = {name for name, _ in imports(nodes)}
        return (used | named) & {"os.environ", "os.getenv", "os.environb"}

    below = [file for file in PLACED_FILES if FLOORS[part_of(file)] < SDK]

    assert complaints(below, rule) == []
