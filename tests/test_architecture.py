"""The house plan, held: floors, sizes, and what may be imported where."""

from __future__ import annotations

import ast
import gc
from collections import Counter
from collections.abc import Iterator

import pytest
from house_plan import (
    ADAPTERS,
    ALL_FILES,
    BOTH_SIDES,
    BROAD_EXCEPTS,
    CORE_FILES,
    CORE_WRITERS,
    ENGINE,
    ENVIRONMENT_READERS,
    FLOORS,
    GATEWAY_ROOMS,
    IO_MODULES,
    KNOWN_NAMES,
    MOST_BODY_LINES,
    MOST_LINES,
    MOST_PUBLIC_METHODS,
    PACKAGE_FILES,
    PLACED_FILES,
    ROOT,
    SDK,
    VAGUE_NAMES,
    WORLD_METHODS,
    Function,
    calls,
    complaints,
    gateway_room_of,
    house_imports,
    imports,
    is_one_of,
    may_import,
    nodes_of,
    part_of,
    run_at_import,
    tree_of,
)


@pytest.fixture(scope="module", autouse=True)
def _read_once() -> Iterator[None]:
    """Nearly a million nodes: none is garbage while these tests run, and all of them afterwards."""
    gc.disable()
    yield
    nodes_of.cache_clear()
    tree_of.cache_clear()
    gc.enable()


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


def test_rooms_of_the_gateway_take_from_those_that_the_plan_names() -> None:
    def rule(file: str) -> list[str]:
        room = gateway_room_of(file)
        allowed = {"", room} | GATEWAY_ROOMS[room]
        return [
            f"line {line}: {room} imports {name}"
            for name, line in imports(nodes_of(file))
            if gateway_room_of(name) not in allowed
        ]

    files = [file for file in PACKAGE_FILES if gateway_room_of(file)]

    assert {gateway_room_of(file) for file in files} == set(GATEWAY_ROOMS)
    assert complaints(files, rule) == []


def test_only_wiring_names_adapters_and_engine_together() -> None:
    def has_both(file: str) -> bool:
        parts = {part for part, _ in house_imports(file)}
        adapters = {part for part in parts if FLOORS[part] == ADAPTERS} - {ENGINE, "testing"}
        return ENGINE in parts and bool(adapters)

    assert [file for file in PACKAGE_FILES if has_both(file) and file not in BOTH_SIDES] == []


def test_imports_are_absolute() -> None:
    def rule(file: str) -> list[int]:
        nodes = nodes_of(file)
        return [node.lineno for node in nodes if isinstance(node, ast.ImportFrom) and node.level]

    assert complaints(ALL_FILES, rule) == []


def test_files_are_short() -> None:
    def rule(file: str) -> list[str]:
        lines = len((ROOT / file).read_text(encoding="utf-8").splitlines())
        return [f"{lines} lines"] if lines > MOST_LINES else []

    assert complaints(ALL_FILES, rule) == []


def test_functions_are_short() -> None:
    def rule(file: str) -> list[str]:
        functions = [node for node in nodes_of(file) if isinstance(node, Function)]
        sizes = ((node.name, body_lines(node)) for node in functions)
        return [f"{name}: {lines} lines" for name, lines in sizes if lines > MOST_BODY_LINES]

    assert complaints(ALL_FILES, rule) == []


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function after its signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_classes_have_few_public_methods() -> None:
    def rule(file: str) -> list[str]:
        classes = [node for node in nodes_of(file) if isinstance(node, ast.ClassDef)]
        counts = ((node.name, len(public_methods(node))) for node in classes)
        return [f"{name}: {count}" for name, count in counts if count > MOST_PUBLIC_METHODS]

    assert complaints(PACKAGE_FILES, rule) == []


def public_methods(node: ast.ClassDef) -> set[str]:
    """Methods that a caller calls; properties read as data."""
    return {
        each.name
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and not each.name.startswith(("_", "test_"))
        and not any("property" in ast.unparse(mark) for mark in each.decorator_list)
    }


def test_no_two_files_of_tests_have_one_name() -> None:
    names = [name for file in ALL_FILES if (name := file.rpartition("/")[2]).startswith("test_")]

    assert [name for name, times in Counter(names).items() if times > 1] == []


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
        found = imports(nodes_of(file))
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
        return [node.lineno for node in nodes_of(file) if isinstance(node, kinds)]

    assert complaints(CORE_FILES, rule) == []


def test_the_http_library_is_imported_in_one_file_and_the_gateway() -> None:
    def rule(file: str) -> list[int]:
        if file == "batchata/providers/transport.py" or part_of(file) == "gateway":
            return []
        found = imports(nodes_of(file))
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
    handlers = (node for node in nodes_of(file) if isinstance(node, ast.ExceptHandler))
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
        nodes = list(nodes_of(file))
        used = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
        named = {name for name, _ in imports(nodes)}
        return (used | named) & {"os.environ", "os.getenv", "os.environb"}

    below = {file for file in PLACED_FILES if FLOORS[part_of(file)] < SDK}

    assert complaints(sorted(below - ENVIRONMENT_READERS.keys()), rule) == []
