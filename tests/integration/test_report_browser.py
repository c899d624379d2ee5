"""A report in a real browser: what a person sees and does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from browser_lab import Browser, find_browser
from report_lab import Said, attachment, pdf_block, text_block, write_state

from batchata import Citation, JobStatus, Reason
from batchata.documents.pdf import create_pdf, get_pdf_info
from batchata.report import write_report

pytestmark = pytest.mark.browser

EVIL = "</script><img src=x onerror=alert(1)><!-- \u2028 &"
CONTRACT = "This contract was made in Rome. " + "It says nothing more. " * 20 + "It ends in May."


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        how = "no Chromium is installed: apt-get update && apt-get install -y chromium"
        if os.environ.get("BATCHATA_BROWSER") == "required":
            pytest.fail(how)
        pytest.skip(how)
    browser = Browser(path, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    state = write_state(folder / "run.db", jobs(folder), Decimal(1))
    write_report(state, folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser; the page must have asked nobody and thrown nothing."""
    chromium.resize(1280, 900)
    chromium.dark(False)
    yield chromium
    asked = [url for url in chromium.requests if not url.startswith(("file:", "data:", "about:"))]
    assert asked == []
    assert chromium.errors == []


def jobs(folder: Path) -> list[Said]:
    pdf = folder / "invoice.pdf"
    pdf.write_bytes(create_pdf(["Acme Ltd\n\nTotal due: EUR 12.50", "Account: NL91 ABNA"]))
    kept = attachment(pdf)

    def cited(text: str, page: int) -> list[Citation]:
        return [Citation(text, pdf.name, page, confidence="high", match_reason="exact")]

    invoice = Said(
        id="invoice",
        parsed={"vendor": "Acme Ltd", "total": "12.50", "account": "NL91 ABNA", "paid": None},
        text='{"vendor": "Acme Ltd"}',
        model="claude-haiku-5-5",
        blocks=[pdf_block(pdf.name, kept.marker)],
        attachments=(kept,),
        mappings={
            "vendor": cited("Acme Ltd", 1),
            "total": cited("Total due: EUR 12.50", 1),
            "account": cited("Account: NL91 ABNA", 2),
        },
        metadata={"folder": "march"},
        cost_usd=Decimal("0.02"),
    )
    contract = Said(
        id="contract",
        text="In Rome; until May.",
        model="claude-haiku-5-5",
        blocks=[text_block("contract.txt", CONTRACT)],
        citations=[
            Citation("made in Rome", "contract.txt", start=18, end=30, document_index=0),
            Citation("It ends in May.", "contract.txt", document_index=0),
        ],
    )
    evil = Said(
        id=EVIL,
        text=EVIL,
        parsed={EVIL: EVIL},
        metadata={EVIL: EVIL},
        status=JobStatus.FAILED,
        reason=Reason.REFUSED,
        error=EVIL,
    )
    plain = [
        Said(
            id=f"job-{n}",
            text=f"answer {n}" + (" needle" if n == 77 else ""),
            cost_usd=Decimal(n) / 100_000,
            seconds=10 + n,
        )
        for n in range(120)
    ]
    return [invoice, contract, evil, *plain]


def ids(browser: Browser) -> list[str]:
    return browser.texts("#table tbody th")


def test_the_page_shows_totals_charts_and_the_first_results(browser: Browser, report: Path) -> None:
    browser.open(report)

    assert "123" in browser.text("#cards")
    assert browser.texts("#charts h3") == [
        "Cost by model",
        "Tokens by model",
        "Time to answer",
        "Failures by reason",
    ]
    assert browser.run("document.querySelectorAll('#charts svg rect').length") > 10
    assert browser.texts(".legend button")[0].startswith("122 succeeded")
    assert ids(browser)[:2] == ["invoice", "contract"]
    assert len(ids(browser)) == 50


def test_results_are_paged(browser: Browser, report: Path) -> None:
    browser.open(report)

    browser.click('[aria-label="Last page"]')
    browser.wait("document.querySelector('#pager span').innerText === 'Page 3 of 3'")

    assert ids(browser)[-1] == "job-119"
    assert len(ids(browser)) == 23


def test_results_are_sorted_by_any_column_both_ways(browser: Browser, report: Path) -> None:
    browser.open(report)

    browser.click('[data-sort="cost"]')
    cheapest = ids(browser)[0]
    browser.click('[data-sort="cost"]')
    dearest = ids(browser)[:2]

    assert cheapest == "job-0"
    assert dearest == ["invoice", "job-119"]
    assert browser.run("document.querySelector('[aria-sort=descending]').innerText.trim()")


def test_the_search_looks_into_whole_answers_and_fields(browser: Browser, report: Path) -> None:
    browser.open(report)

    browser.write("[name=q]", "NEEDLE 77")
    browser.wait("document.querySelector('#count').innerText === '1 of 123 results'")
    found = ids(browser)
    browser.open(report, q="march acme")

    assert found == ["job-77"]
    assert ids(browser) == ["invoice"]


def test_a_chart_filters_the_table(browser: Browser, report: Path) -> None:
    browser.open(report)

    browser.run("[...document.querySelectorAll('.bars button')].at(-1).click()")

    assert browser.text("#count") == "1 of 123 results"
    assert browser.run("document.querySelector('[name=reason]').value") == "refused"


def test_filters_are_cleared(browser: Browser, report: Path) -> None:
    browser.open(report, status="failed", q="alert")

    browser.click("#clear")

    assert browser.text("#count") == "123 results"
    assert browser.run("[...document.querySelectorAll('#filters [name]')].every((e) => !e.value)")


def test_a_link_to_a_filter_shows_it(browser: Browser, report: Path) -> None:
    browser.open(report, status="failed", model="gpt-6-luna")

    assert browser.text("#count") == "1 of 123 results"
    assert browser.run("document.querySelector('#table tbody th').textContent") == EVIL
    assert browser.run("document.querySelector('[name=status]').value") == "failed"


def test_a_click_on_a_result_opens_its_panel(browser: Browser, report: Path) -> None:
    browser.open(report)

    browser.click('tr[data-id="invoice"] td.snippet')
    browser.wait("document.querySelector('dialog').open")

    assert browser.text("#detail-heading") == "invoice"
    assert browser.texts(".fields tbody th") == ["vendor", "total", "account", "paid"]
    assert "march" in browser.text("dialog .main")
    assert "batch_b0" in browser.text("dialog .main")
    assert "0.02" in browser.text("dialog .main")


def test_pointing_at_a_field_lights_up_its_passage(browser: Browser, report: Path) -> None:
    browser.open(report, job="invoice")
    browser.run("document.querySelectorAll('.sources details').forEach((e) => e.open = true)")

    browser.hover('[data-field="total"] .value')
    of_total = browser.texts("mark.hot")
    browser.hover('[data-field="account"] .value')
    of_account = browser.texts("mark.hot")
    browser.hover('[data-field="paid"] .value')

    assert of_total == ["Total due: EUR 12.50"]
    assert of_account == ["Account: NL91 ABNA"]
    assert browser.texts("mark.hot") == []


def test_a_chosen_field_keeps_its_passage_in_sight(browser: Browser, report: Path) -> None:
    browser.open(report, job="invoice")

    browser.click('[data-field="account"] button')

    assert (
        browser.run("document.querySelector('[data-field=account] button').ariaPressed") == "true"
    )
    assert browser.wait(
        "(() => { const r = document.querySelector('.box.hot').getBoundingClientRect();"
        " return r.height > 0 && r.top > 0 && r.bottom < innerHeight })()"
    )
    assert "field=account" in browser.run("location.hash")


def test_a_link_to_a_field_shows_it(browser: Browser, report: Path) -> None:
    browser.open(report, job="contract", field="[2]")

    assert browser.texts("mark") == ["made in Rome", "It ends in May."]
    assert browser.texts("mark.hot") == ["It ends in May."]


def test_a_page_is_drawn_with_a_box_over_the_passage(browser: Browser, report: Path) -> None:
    browser.open(report, job="invoice", field="total")
    browser.wait("document.querySelector('.sheet img').naturalWidth > 100")

    dark = browser.run(
        """(() => { const img = document.querySelector('.sheet img');
        const box = document.querySelector('.box.hot');
        const c = document.createElement('canvas');
        c.width = img.naturalWidth; c.height = img.naturalHeight;
        const g = c.getContext('2d'); g.drawImage(img, 0, 0);
        const k = img.naturalWidth / img.clientWidth;
        const at = [box.offsetLeft, box.offsetTop, box.offsetWidth, box.offsetHeight];
        const d = g.getImageData(...at.map((n) => n * k)).data;
        let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] < 128;
        return n / (d.length / 4); })()"""
    )

    assert 0.05 < dark < 0.6, "the box is not over printed words"


def test_a_quote_that_was_not_found_is_marked_and_not_counted(
    browser: Browser, tmp_path: Path
) -> None:
    def quote(is_found: bool | None) -> list[Citation]:
        return [Citation("his words", "", metadata={"found": is_found, "why": "it is a scan"})]

    fields = {"a": 1, "b": 2, "c": 3}
    said = {"a": quote(True), "b": quote(False), "c": quote(None)}
    jobs = [Said(id="quoted", parsed=fields, mappings=said), Said(id="plain", parsed=fields)]
    page = tmp_path / "quotes.html"
    write_report(write_state(tmp_path / "run.db", jobs), page)

    browser.open(page, cited="missing")
    shown = browser.texts("#table tbody tr [data-name=cited]")
    browser.open(page, job="quoted")

    assert shown == ["1/3 !"]
    assert browser.texts("#detail .fields .cites")[1:] == ["not found", "not checked"]
    assert "they stand in none of the documents" in browser.text("#detail article.missing")
    assert "it is a scan" in browser.text("#detail article.unchecked")


def test_the_keyboard_is_enough(browser: Browser, report: Path) -> None:
    browser.open(report, sort="id.up")
    browser.run("document.querySelector('tr[data-id=invoice] a').focus()")

    browser.press("Enter")
    browser.wait("document.querySelector('dialog').open")
    browser.press("ArrowRight")
    browser.wait("document.querySelector('#detail-heading').innerText !== 'invoice'")
    second = browser.text("#detail-heading")
    browser.press("ArrowLeft")
    browser.wait("document.querySelector('#detail-heading').innerText === 'invoice'")
    browser.press("Escape")
    browser.wait("!document.querySelector('dialog').open")

    assert second == "job-0"
    assert "job=" not in browser.run("location.hash")


def test_nothing_of_an_answer_becomes_html(browser: Browser, report: Path) -> None:
    browser.open(report, job=EVIL)
    browser.wait("document.querySelector('dialog').open")

    assert browser.run("document.querySelector('#detail-heading').textContent") == EVIL
    assert browser.run("document.querySelector('.fields .value').textContent") == EVIL
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    assert browser.run("document.title.includes('alert')") is False


def test_an_unknown_job_in_the_link_is_told(browser: Browser, report: Path) -> None:
    browser.open(report, job="gone")

    assert browser.text("#count") == "There is no result “gone” in this report."
    assert not browser.run("document.querySelector('dialog').open")


@pytest.mark.parametrize("job", ["", "invoice", "contract", EVIL])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(
    browser: Browser, report: Path, width: int, job: str
) -> None:
    browser.resize(width, 844)

    browser.open(report, job=job)

    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelector('dialog').scrollWidth") <= width


def test_words_can_be_read_in_light_and_dark(browser: Browser, report: Path) -> None:
    backs = set()
    for is_dark in (False, True):
        browser.dark(is_dark)
        browser.open(report)
        colours = browser.run(
            """['color', 'backgroundColor'].map((name) => getComputedStyle(document.body)[name]
            .match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"""
        )
        backs.add(colours[1] > 382)
        assert abs(colours[0] - colours[1]) > 400

    assert backs == {True, False}


def test_headings_controls_and_tables_have_names(browser: Browser, report: Path) -> None:
    browser.open(report, job="invoice")

    unnamed = browser.run(
        """[...document.querySelectorAll('button, select, input, a')]
        .filter((e) => !e.textContent.trim() && !e.ariaLabel && !e.labels?.length)
        .map((e) => e.outerHTML)"""
    )
    levels = browser.run("[...document.querySelectorAll('h1,h2,h3,h4')].map((e) => +e.tagName[1])")

    assert unnamed == []
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert browser.run("[...document.querySelectorAll('th')].every((e) => e.scope)")
    assert browser.run("document.documentElement.lang") == "en"


def test_an_open_panel_is_printed_whole_and_alone(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    browser.open(report, job="invoice")

    (tmp_path / "paper.pdf").write_bytes(browser.print())

    count, _, text = get_pdf_info(tmp_path / "paper.pdf")
    assert count >= 2
    assert "req_0" in text
    assert "invoice.pdf page 2" in text
    assert "job-1" not in text


@pytest.mark.slow
def test_ten_thousand_results_stay_fluid(browser: Browser, tmp_path: Path) -> None:
    many = [
        Said(id=f"job-{n:05d}", text="word " * 100, parsed={"n": n, "name": f"name {n}"})
        for n in range(10_000)
    ]
    write_report(write_state(tmp_path / "run.db", many), tmp_path / "report.html")

    browser.open(tmp_path / "report.html")
    elements = browser.run(
        """(() => { document.querySelector('[data-sort=cost]').click();
        document.querySelector('[data-sort=id]').click();
        document.querySelector('[aria-label="Last page"]').click();
        return document.getElementsByTagName('*').length; })()"""
    )
    browser.write("[name=q]", "name 9876")
    browser.wait("document.querySelector('#count').innerText === '1 of 10,000 results'")

    assert ids(browser) == ["job-09876"]
    assert elements < 10_000  # only those of one page are there to be laid out
