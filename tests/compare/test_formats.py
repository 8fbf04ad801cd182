"""A comparison as Markdown, LaTeX, CSV and JSON: clean text that machines read back."""

import csv
import io
import json
import re

import pytest

from siamese_lab.cli import main
from siamese_lab.commands.compare import compare_runs
from siamese_lab.compare.report import formats
from siamese_lab.compare.selection.select import select_runs

AXES = {"backbone": ["conv4", "koch"], "loss": ["contrastive", "triplet", "supcon"]}


@pytest.fixture
def printed(small, capsys):
    small(axes=AXES)

    def show(name, *more):
        assert main(["compare", "study", "--format", name, *more]) == 0
        return capsys.readouterr().out

    return show


def test_json_holds_all(printed):
    found = json.loads(printed("json"))
    assert found["metric"] == "verification/eer"
    assert [found["part"], found["better"], found["unit"]] == ["val", "low", "share"]
    assert len(found["configurations"]) == 6
    assert len(found["contrasts"]) == 5
    values = [one["estimate"]["value"] for one in found["configurations"]]
    assert values == sorted(values)
    assert all(one["p_adjusted"] is not None and one["sentence"] for one in found["contrasts"])
    assert found["fronts"]["parameters"][-1] == 0
    assert found["generalises"].startswith("Intervals speak of other seeds and other identities")


def test_csv_has_a_line_for_each_configuration(printed):
    rows = list(csv.DictReader(io.StringIO(printed("csv"))))
    assert len(rows) == 6
    assert {(row["backbone"], row["loss"]) for row in rows} == {
        (b, loss) for b in AXES["backbone"] for loss in AXES["loss"]
    }
    assert all(float(row["low"]) < float(row["mean"]) < float(row["high"]) for row in rows)
    assert rows[0]["behind_best"] == ""
    assert all(float(row["behind_best"]) >= 0 for row in rows[1:])
    assert {row["seeds"] for row in rows} == {"3"}
    assert rows[0]["front_parameters"] == "1"


def test_markdown_has_tables_of_one_width(printed):
    lines = printed("md").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 8
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert sum(" is better than " in line or "no difference" in line for line in lines) == 5


def test_latex_is_balanced_and_escaped(printed):
    text = printed("latex")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 2
    assert not re.search(r"(?<!\\)[%#_$]", body)
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    for block in body.split(r"\begin{tabular}")[1:]:
        columns = re.match(r"\{(\w+)\}", block)[1]
        rows = [line for line in block.splitlines() if line.rstrip().endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}


def test_what_is_special_to_a_format_is_escaped():
    assert (
        formats._tex(r"a_b & 5 % of {x} \ ~^")
        == r"a\_b \& 5 \% of \{x\} \textbackslash{} \textasciitilde{}\textasciicircum{}"
    )
    assert formats._md("a|b*c_d") == r"a\|b\*c\_d"


def test_no_format_writes_a_page_unless_asked(printed, tmp_path, outputs):
    printed("md")
    assert list(outputs.glob("study/*.html")) == []
    out = printed("md", "--report", str(tmp_path / "page.html"))
    assert "page.html" not in out
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_table_is_never_cut(small, terminal):
    from rich.console import Console

    small(axes={**AXES, "loss.margin": ["0.1", "0.3"]})
    comparison = compare_runs(select_runs(["study"]))
    file = io.StringIO()
    formats.print_table(
        comparison, Console(file=file, width=70, force_terminal=terminal, soft_wrap=True, highlight=False)
    )
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert "…" not in text
    assert "contrastive" in text
    assert ("multiply-adds" in text.splitlines()[1]) == (not terminal)
