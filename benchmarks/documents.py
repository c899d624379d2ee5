"""Peak memory of a run over many large PDFs, inside the requests and uploaded, at both vendors.

    python -m benchmarks.documents [--files 50] [--megabytes 5]

Each run has a process of its own, the sandbox another. Its peak is told above what the process
held after the same run over PDFs of 1 KB: what is left is file data. The goal is less than two of
the PDFs. The floor beside it is a script that holds one chunk of one file at a time; the usual way,
requests built in memory, is measured too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from benchmarks.batch_cpu import MODELS, cpu_seconds, sandbox

#: pages of a scan: a picture of noise each, and a layer of text
PAGES = 5
#: `set_uploads()` and how files travel then
WAYS = {"never": "inline", "always": "uploaded"}
BESIDE = {"memory": "built in memory", "floor": "floor, in pieces"}
PIECE = 1 << 20


def scan(number: int, size_bytes: int) -> bytes:
    """A PDF of scanned pages with text behind them, of about this size."""
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import DictionaryObject, NameObject, NumberObject, StreamObject

    from batchata.documents.pdf import create_pdf

    texts = [
        f"Invoice {number}, page {page + 1}\nTotal: {number * 7}.00 EUR" for page in range(PAGES)
    ]
    writer = PdfWriter(clone_from=PdfReader(BytesIO(create_pdf(texts))))
    height = max(1, size_bytes // PAGES // 1000)
    for page in writer.pages:
        picture = StreamObject()
        picture.set_data(os.urandom(height * 1000))
        said = {"/Type": "/XObject", "/Subtype": "/Image", "/ColorSpace": "/DeviceGray"}
        picture.update({NameObject(name): NameObject(value) for name, value in said.items()})
        sizes = {"/Width": 1000, "/Height": height, "/BitsPerComponent": 8}
        picture.update({NameObject(name): NumberObject(value) for name, value in sizes.items()})
        named = DictionaryObject({NameObject("/Scan"): writer._add_object(picture)})
        page["/Resources"][NameObject("/XObject")] = named  # type: ignore[index]
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def memory(name: str) -> float:
    """Megabytes of this process: "VmRSS" now, "VmHWM" at its most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def ask(folder: Path, out: Path, url: str, vendor: str, way: str) -> None:
    """One run: a question about every PDF of a folder."""
    from batchata import Batch

    base_url = f"{url}/v1" if vendor == "openai" else url
    batch = Batch(out, items_per_batch=None, result_format="jsonl", raw_files=False)
    batch.set_provider(vendor, api_key="sandbox", base_url=base_url).set_polling(0.05)
    batch.set_default_params(model=MODELS[vendor], max_tokens=100)
    batch.set_uploads(way)  # type: ignore[arg-type]
    for path in sorted(folder.iterdir()):
        batch.add_job(file=path, prompt="What is the total?", id=path.stem)
    status = batch.run().status()
    assert status["completed"] == status["total"], status


def in_memory(folder: Path) -> None:
    """The usual way: every request with its file in it, in one body."""
    requests = [
        {"custom_id": path.stem, "file": f"data:application/pdf;base64,{encoded(path)}"}
        for path in sorted(folder.iterdir())
    ]
    assert json.dumps(requests)


def encoded(path: Path) -> str:
    """A file as base64."""
    return b64encode(path.read_bytes()).decode()


def in_pieces(folder: Path) -> None:
    """The floor: every file is read a megabyte at a time and forgotten."""
    for path in sorted(folder.iterdir()):
        hasher = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                hasher.update(piece)
                b64encode(piece)


def child(options: argparse.Namespace) -> dict[str, float]:
    """Measure one way in this process."""
    folder = Path(options.folder)
    ways: dict[str, Callable[[Path], None]] = {"floor": in_pieces, "memory": in_memory}

    def work(files: str) -> None:
        if options.child in ways:
            ways[options.child](folder / files)
            return
        out = folder / f"{options.child}-{options.vendor}-{files}"
        ask(folder / files, out, options.url, options.vendor, options.child)

    work("small")
    before, cpu, began = memory("VmHWM"), cpu_seconds(), time.perf_counter()
    work("large")
    return {
        "megabytes": memory("VmHWM") - before,
        "peak": memory("VmHWM"),
        "cpu_s": cpu_seconds() - cpu,
        "wall_s": time.perf_counter() - began,
    }


def measured(folder: Path, way: str, vendor: str = "", url: str = "") -> dict[str, float]:
    """The figures of one way, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.documents", "--child", way]
    command += ["--folder", str(folder), "--vendor", vendor, "--url", url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Print the figures of both vendors and both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--megabytes", type=float, default=5.0)
    for name in ("child", "folder", "vendor", "url"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options)))
        return
    size = int(options.megabytes * 1e6)
    with tempfile.TemporaryDirectory(prefix="batchata-bench-") as name:
        folder = Path(name)
        for files, each in (("small", 1), ("large", size)):
            (folder / files).mkdir()
            for number in range(options.files):
                (folder / files / f"{number:03}.pdf").write_bytes(scan(number, each))
        print(f"{options.files} PDFs of {options.megabytes:g} MB; two of them: {2 * size / 1e6:g}")
        for way, what in BESIDE.items():
            tell(what, measured(folder, way))
        for vendor in MODELS:
            for way, what in WAYS.items():
                with sandbox() as url:
                    tell(f"{vendor}, {what}", measured(folder, way, vendor, url))


def tell(what: str, figures: dict[str, float]) -> None:
    """One line of figures."""
    data, peak = figures["megabytes"], figures["peak"]
    print(
        f"{what:22} file data {data:7.1f} MB  whole process {peak:6.1f} MB  "
        f"CPU {figures['cpu_s']:5.2f} s  wall {figures['wall_s']:5.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
