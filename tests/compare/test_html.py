"""The page of a comparison, as a reader's browser has it: it sorts, filters, fetches nothing, and shows what is hostile
as text.
"""

import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

from siamese_lab.cli import main
from siamese_lab.commands.compare import compare_runs, report_name
from siamese_lab.compare.report.html import html_page
from siamese_lab.compare.selection.select import select_runs
from tests.compare._studies import folder, plan

FLAGS = (
    *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync"),
)
AXES = {"backbone": ["conv4", "koch"], "loss": ["contrastive", "triplet", "supcon"], "loss.margin": ["0.1", "0.3"]}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium; what it asks the network for stands in its log."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        reason = "Chromium and chromedriver are needed to see the page: apt-get install chromium-driver"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as opened:
        opened.set_window_size(1280, 900)
        yield opened


@pytest.fixture
def shown(small, browser, tmp_path):
    """shown(text): opens a page; without one, that of a study of ten configurations."""

    def show(text=None):
        if text is None:
            small(axes=AXES)
            text = html_page(compare_runs(select_runs(["study"])))
        (tmp_path / "page.html").write_text(text)
        browser.get_log("performance")
        browser.get_log("browser")
        browser.get(f"file://{tmp_path}/page.html")
        return browser

    return show


def column(browser, table, number):
    cells = browser.find_elements("css selector", f"#{table} tbody tr:not([hidden]) td:nth-child({number})")
    return [cell.text for cell in cells]


def heads(browser, table):
    return [head.text.split("\n")[0] for head in browser.find_elements("css selector", f"#{table} th")]


def test_a_click_sorts_and_another_one_turns(shown):
    browser = shown()
    place = 1 + heads(browser, "configurations").index("mean")
    means = [float(text.removesuffix(" %")) for text in column(browser, "configurations", place)]
    assert means == sorted(means)
    assert len(means) == 10
    button = browser.find_element("css selector", f"#configurations th:nth-child({place}) button")
    button.click()
    button.click()
    turned = [float(text.removesuffix(" %")) for text in column(browser, "configurations", place)]
    assert turned == means[::-1]
    head = browser.find_element("css selector", f"#configurations th:nth-child({place})")
    assert head.get_attribute("aria-sort") == "descending"
    margin = 1 + heads(browser, "configurations").index("loss.margin")
    for order in (["0.1"] * 4 + ["0.3"] * 4, ["0.3"] * 4 + ["0.1"] * 4):
        browser.find_element("css selector", f"#configurations th:nth-child({margin}) button").click()
        assert column(browser, "configurations", margin) == [*order, "–", "–"]  # what is lacking stands last, both ways


def test_a_filter_keeps_the_rows_with_all_words(shown):
    browser = shown()
    field = browser.find_element("css selector", "#configurations input")
    field.send_keys("koch TRIPLET")
    assert len(column(browser, "configurations", 1)) == 2
    assert browser.find_element("css selector", "#configurations output").text == "2 of 10 rows"
    assert len(column(browser, "differences", 1)) == 9
    field.clear()
    field.send_keys("nothing has this")
    assert column(browser, "configurations", 1) == []


def test_nothing_is_fetched_and_nothing_goes_wrong(shown):
    browser = shown()
    browser.find_element("css selector", "#runs th button").click()
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []
    assert len([url for url in asked if url.startswith("file://")]) == 1
    assert browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)") == []
    assert browser.get_log("browser") == []


def test_it_fits_narrow_and_wide_on_light_and_dark(shown):
    browser = shown()
    papers = set()
    for theme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": theme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for width in (1280, 380):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        ink, paper = (
            browser.execute_script(f"return getComputedStyle(document.body).{name}")
            for name in ("color", "backgroundColor")
        )
        assert contrast(ink, paper) > 7
        papers.add(paper)
        text = "return getComputedStyle(document.querySelector('figure svg text')).fill"
        assert contrast(browser.execute_script(text), paper) > 4.5
    assert len(papers) == 2
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one, two):
    """The contrast ratio of two colours, as WCAG has it."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_what_is_hostile_is_text(small, shown, outputs):
    path = small()
    bad = '<img src=x onerror="document.title=1">&"\'</script><script>document.title=2</script>$\\frac{1}$'
    content = json.loads((path / "study.json").read_text())
    content["axes"][bad] = ["a"]
    for job in content["jobs"]:
        job["point"] |= {bad: f"{job['point']['loss']}{bad}"}
    (path / "study.json").write_text(json.dumps(content))
    (path / content["jobs"][0]["run_id"] / "run.json").write_text(bad)
    text = html_page(compare_runs(select_runs(["study"])))
    browser = shown(text)
    assert browser.title == "study: verification/eer"
    assert browser.find_elements("css selector", "img") == []
    assert bad in browser.find_element("css selector", "#configurations thead").text
    errors = [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]
    assert errors == []


class Ids(HTMLParser):
    """Collects ids and what refers to them."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.used = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            self.ids += [value] if name == "id" else []
            self.used |= set(re.findall(r"url\(#([^)]*)\)", value or ""))
            self.used |= {value[1:]} if name in ("href", "xlink:href") and value.startswith("#") else set()


def test_the_page_is_whole(small):
    path = small(axes=AXES)
    assert main(["compare", "study"]) == 0
    text = (path / "report.html").read_text()
    found = Ids(text)
    assert len(found.ids) == len(set(found.ids))
    assert found.used <= set(found.ids)
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", text)
    assert "@import" not in text
    assert "Bitstream" not in text  # its texts have the font of the page
    for title in (
        "verification/eer against loss.margin",
        "backbone x loss",
        "DET curves",
        "verification/eer against parameters",
    ):
        assert f"<h3>{title}</h3>" in text
    assert text.count("<figure>") == 6
    assert "#050501" not in text
    assert "#010101" not in text


def test_plots_that_cannot_be_drawn_are_named(small):
    path = small(axes=AXES)
    for file in path.glob("*/curves_val.npz"):
        file.unlink()
    text = html_page(compare_runs(select_runs(["study"])))
    assert "no DET curves: " in text
    assert "curves_val.npz is missing" in text


def test_a_search_is_drawn_as_dots(template, outputs):
    jobs = []
    for number, loss in enumerate(["contrastive", "triplet"] * 4):
        point = {"loss": loss, "loss.margin": str(0.1 + 0.07 * number), "optimizer.lr": str(0.001 * (number + 1))}
        jobs.append(
            {"run_id": folder(template, outputs, "search", point, "0"), "point": {**point, "seed": "0"}, "devices": 1}
        )
    plan(outputs, "search", {}, jobs)
    text = html_page(compare_runs(select_runs(["search"])))
    assert "<h3>verification/eer against optimizer.lr</h3>" in text
    assert "Every configuration is a dot" in text


def test_one_configuration_has_a_page(small):
    small(axes={"loss": ["triplet"]})
    text = html_page(compare_runs(select_runs(["study"])))
    assert "there is nothing to compare it with" in text


def test_each_question_has_its_own_page(small):
    path = small(axes=AXES)
    assert main(["compare", "study", "--by", "loss", "--metric", "verification/auc"]) == 0
    assert [one.name for one in path.glob("*.html")] == ["report-by-loss-verification-auc.html"]
    assert report_name(None, None, True) == "report-test.html"


def test_html_is_printed_whole(small, capsys):
    small()
    assert main(["compare", "study", "--format", "html"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("<!doctype html>")
    assert out.endswith("</html>\n")
