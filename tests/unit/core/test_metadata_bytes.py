"""Metadata as it comes out of tables."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from batchata.core.errors import ValidationError
from batchata.core.json_bytes import metadata_bytes


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.int64(7), 7),
        (np.float64(0.5), 0.5),
        (np.float64("nan"), None),
        (np.bool_(True), True),
        (np.array([1, 2]), [1, 2]),
        (pd.Timestamp("2026-11-22 10:00"), "2026-11-22T10:00:00"),
        (np.datetime64("2026-11-22"), "2026-11-22T00:00:00"),
        (pd.NaT, None),
        (pd.NA, None),
        (Decimal("9.90"), "9.90"),
        (Path("a/b.pdf"), "a/b.pdf"),
    ],
)
def test_a_cell_of_a_table_is_kept(value: Any, kept: Any) -> None:
    assert json.loads(metadata_bytes({"cell": value})) == {"cell": kept}


def test_what_json_has_no_word_for_is_named() -> None:
    with pytest.raises(ValidationError, match="object"):
        metadata_bytes({"cell": object()})
