"""What a finished run shows: figures with their intervals beside the untrained encoder's. Prints, never computes."""

from collections import defaultdict
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from siamese_lab.core.text import format_value
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.schema import FigureRecord
from siamese_lab.runs.seal import is_sealed

DISJOINT = {
    "label": "no identity of the test part was trained on",
    "image": "test images are new, their identities are not",
}


def print_run(folder: RunFolder, new: bool = False) -> None:
    """Prints the figures of a run, what was decided, and where to look next.

    Args:
        folder: of a run in state ok.
        new: whether it has just been trained; else the way to force another training is named.
    """
    metrics, info = folder.metrics(), folder.info()
    console = Console(highlight=False, soft_wrap=True)
    if not new:
        again = "To train it anew: the same command with --force"
        console.print(f"{folder.path} is finished: these are its figures. {again}\n")
    if is_sealed(folder):
        print_figures(console, "Validation figures", metrics["val"], {"untrained": metrics["untrained"]})
        if metrics["sealed"]:
            opens = f"`siamese-lab compare {folder.study} --open-test` opens it"
            console.print(f"The test part of a study is sealed: {opens}.")
        else:
            console.print()
            print_figures(console, "Test figures", metrics["test"], {})
    elif metrics["test"]:
        print_figures(console, "Test figures", metrics["test"], {"untrained": metrics["untrained"]})
    else:
        console.print("The data have no test part: there are no figures.")
    training, known = metrics["training"], defaultdict(lambda: "unknown", info["decided"])
    rate = f", {training['images_per_second']:,.0f} images/s" if training["images_per_second"] else ""
    chosen = "threshold" in metrics["chosen"].get("verification", {})
    evaluate = f"verify {folder.short_id} a.png b.png" if chosen else f"evaluate {folder.short_id} --protocol retrieval"
    for line in (
        f"\ndata       {DISJOINT[metrics['data']['disjoint']]}",
        f"checkpoint after epoch {metrics['epoch']}, of {training['steps']} steps in {training['seconds']:.0f} s{rate}",
        f"machine    {known['accelerator']}, precision {known['precision']}, {known['layout']}, allocator "
        f"{known['allocator']}, {known['threads']} threads",
        f"run        {folder.path}",
        "\nnext",
        f"  siamese-lab board {folder.path.parent.name}",
        f"  siamese-lab {evaluate}",
        "  siamese-lab train loss=triplet miner=batch_hard",
    ):
        console.print(line)


def print_figures(
    console: Console, title: str, found: Mapping[str, FigureRecord], beside: Mapping[str, Mapping[str, FigureRecord]]
) -> None:
    """Prints figures as a table, and below it what is to be said of some of them.

    Args:
        console: where.
        title: of the table.
        found: {"<protocol>/<figure>": a Figure's fields}.
        beside: further columns with the values of the same figures, by heading.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    table.add_column("figure", no_wrap=True)
    for heading in ("value", "95 % interval", *beside):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("better", no_wrap=True)
    for name, figure in found.items():
        unit = figure["unit"]
        others = [format_value(column[name]["value"], unit) if name in column else "" for column in beside.values()]
        table.add_row(name, format_value(figure["value"], unit), _interval(figure), *others, figure["better"])
    console.print(table)
    # below: the table fits 80 columns
    for note in dict.fromkeys(figure["note"] for figure in found.values() if figure["note"]):
        console.print(f"{note}: {', '.join(name for name, figure in found.items() if figure['note'] == note)}")


def _interval(figure: FigureRecord) -> str:
    low, high, unit = figure["low"], figure["high"], figure["unit"]
    return "" if low is None or high is None else f"{format_value(low, unit)} to {format_value(high, unit)}"
