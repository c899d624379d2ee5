"""The log file of a generation."""

from __future__ import annotations

import logging

from generation_lab import GenerationLab


def test_the_log_file_says_what_was_asked_and_what_became_of_it(made: GenerationLab) -> None:
    made.rows = [{"question": "a"}, {"question": None}]
    path = made.folder / "run.log"

    made.run(logging={"file": str(path), "format": "{message}"})

    said = path.read_text(encoding="utf-8")
    assert "2 rows of " in said
    assert "1 of 2 answers in " in said
    assert "1 failed, the first one: bad_input: row 1 has no value" in said


def test_the_log_file_is_begun_anew_and_old_ones_go_away(made: GenerationLab) -> None:
    from batchata.generate.log_file import logged

    path = made.folder / "run.log"
    rules = {"file": str(path), "rotation": "1 KB", "retention": "2 days", "format": "{message}"}
    with logged(made.config(logging=rules).logging):
        for _ in range(50):
            logging.getLogger("batchata.generate").warning("x" * 99)

    kept = sorted(each.name for each in made.folder.glob("run.log*"))
    assert kept == ["run.log", "run.log.1", "run.log.2"]
    assert all(each.stat().st_size <= 1000 for each in made.folder.glob("run.log*"))
