"""What a finished run writes for TensorBoard, read back by TensorBoard itself."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.util import tensor_util

from siamese_lab.config.compose import compose
from siamese_lab.distances.squared_euclidean import SquaredEuclidean
from siamese_lab.evaluation.records import error_curves
from siamese_lab.metrics.evaluated_part import EvaluatedPart
from siamese_lab.plots._style import BLUE, pixels
from siamese_lab.plots.thumbnails import thumbnail_side
from siamese_lab.plots.verification import distance_histograms, rates_at, roc_plot
from siamese_lab.protocols.retrieval import Retrieval
from siamese_lab.protocols.verification import Verification
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.seal import log_opening
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import TEST, Samples
from siamese_lab.tensorboard import hparams, projector
from siamese_lab.tensorboard.writer import write_events
from tests.protocols._data import clusters

ROWS = 90
BEST = {"epoch": 3, "step": 40, "val/verification/eer": 0.125, "val/retrieval/map@r": 0.75}


def samples_of(
    embedded: EmbeddedSet, channels: int = 1, size: tuple[int, int] = (28, 28), files: bool = True
) -> tuple[Samples, torch.Tensor]:
    """Images of one colour each, behind ten samples that are not evaluated."""
    n = len(embedded.z) + 10
    images = (torch.arange(n) % 251).byte().view(n, 1, 1, 1).expand(n, channels, *size).contiguous()
    ids = torch.arange(10, n)
    labels = torch.cat([torch.zeros(10, dtype=torch.int64), embedded.labels.cpu()])
    groups = {"script": (labels % 2, ("Old\tItalic", "Greek"))}
    # a plain dict behind the Mapping
    embedded.groups.update({name: (codes[ids], names) for name, (codes, names) in groups.items()})
    return Samples(
        images, torch.arange(n), torch.zeros(n, dtype=torch.int64), labels, embedded.classes, groups,
        torch.full((n,), TEST), "label", "f", files=tuple(f"{i}.png" for i in range(n)) if files else (),
    ), ids  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, its verification curves, its threshold, and its embeddings."""
    path = tmp_path_factory.mktemp("study") / "3f2a"
    path.mkdir()
    cfg = compose(["loss=triplet", "miner=batch_hard", "trainer.ema=null", "seed=7"])
    embedded = clusters(identities=15, images=6)
    samples, ids = samples_of(embedded)
    protocols = {"verification": Verification(), "retrieval": Retrieval()}
    chosen = {"verification": protocols["verification"].choose(embedded)}
    figures = {
        f"{name}/{key}": figure
        for name, p in protocols.items()
        for key, figure in p.evaluate(embedded, chosen.get(name, {})).items()
    }
    note(path, cfg, ["verification/eer", "retrieval/map@r"])
    curves = error_curves(protocols, embedded)
    evaluated = EvaluatedPart("test", figures, chosen, embedded, samples, ids, curves)
    write_events(path, cfg, evaluated, BEST, step=40, began=time.time() - 60)
    other = compose(["loss=supcon", "seed=8"])
    note(path.parent / "77aa", other, ["verification/eer", "one_shot/error"])
    write_events(path.parent / "77aa", other, EvaluatedPart("test"), BEST, step=1, began=time.time())
    (path.parent / "dead").mkdir()
    (path.parent / "dead" / "run.json").write_text("{")
    log_opening(path.parent, ["3f2a"], "the run itself")  # as every run that computes test figures does
    hparams.write_columns(path.parent)
    return path, curves["verification"], chosen["verification"]["threshold"], figures, embedded


def note(path, cfg, headlines):
    """What a run says of itself."""
    folder = RunFolder(path)
    folder.create()
    folder.update(hparams=hparams.hyperparameters(cfg), headlines=headlines)


@pytest.fixture(scope="module")
def events(run):
    accumulator = EventAccumulator(
        str(run[0]), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    )
    return accumulator.Reload()


def test_figures_are_scalars(run, events):
    figures = run[3]
    tags = events.Tags()["scalars"]
    assert {tag for tag in tags if tag.startswith("test/")} == {f"test/{name}" for name in figures}
    assert {tag for tag in tags if tag.startswith("best/")} == {"best/verification/eer", "best/retrieval/map@r"}
    (point,) = events.Scalars("best/verification/eer")
    assert (point.step, point.value) == (40, 0.125)
    assert events.Scalars("test/verification/eer")[0].value == pytest.approx(figures["verification/eer"].value)


def test_the_config_is_a_text(events):
    text = tensor_util.make_ndarray(events.Tensors("config/text_summary")[0].tensor_proto).item().decode()
    assert "    seed: 7\n" in text
    assert "    loss:\n" in text


def test_hyperparameters_leave_out_what_has_no_value():
    values = hparams.hyperparameters(compose(["loss=triplet", "miner=batch_hard", "backbone=mlp", "seed=7"]))
    assert values["loss"] == "triplet"
    assert values["loss.margin"] == compose(["loss=triplet"]).loss.margin
    assert values["backbone.hidden"] == "[512, 512]"
    assert values["seed"] == 7
    assert values["optimizer.lr"] == 2e-3
    assert values["sampling.per_class"] == 4
    assert "trainer.ema" not in values
    assert "sampling.steps" not in values
    assert "experiment" not in values
    assert not [name for name in values if "_target_" in name]
    assert {type(value) for value in values.values()} <= {bool, int, float, str}


def hparams_of(events, tag):
    return events.SummaryMetadata(tag).plugin_data.content


def test_hparams_of_the_run(events):
    start = metadata.parse_session_start_info_plugin_data(hparams_of(events, metadata.SESSION_START_INFO_TAG))
    assert start.hparams["loss"].string_value == "triplet"
    assert start.hparams["seed"].number_value == 7
    assert start.hparams["backbone.normalise"].WhichOneof("kind") == "bool_value"
    end = metadata.parse_session_end_info_plugin_data(hparams_of(events, metadata.SESSION_END_INFO_TAG))
    assert end.status == api_pb2.STATUS_SUCCESS
    assert 59 < end.end_time_secs - start.start_time_secs < 600


def test_a_study_has_the_columns_of_all_its_runs(run):
    study = EventAccumulator(str(run[0].parent / "events.out.tfevents.columns")).Reload()
    experiment = metadata.parse_experiment_plugin_data(hparams_of(study, metadata.EXPERIMENT_TAG))
    columns = {column.name for column in experiment.hparam_infos}
    assert {"loss.margin", "loss.temperature", "seed"} <= columns
    assert {m.name.tag for m in experiment.metric_infos} == {
        f"{part}/{figure}"
        for part in ("best", "test")
        for figure in ("verification/eer", "retrieval/map@r", "one_shot/error")
    }


def test_columns_of_several_runs():
    """Their union; numbers get an interval, words and mixtures a list."""
    runs = [{"loss": "a", "m": 1, "b": True, "x": 1}, {"loss": "b", "m": 0.5, "b": False, "x": "auto", "late": 3.0}]
    content = hparams.experiment_summary(runs, {}).value[0].metadata.plugin_data.content
    columns = {c.name: c for c in metadata.parse_experiment_plugin_data(content).hparam_infos}
    assert list(columns) == ["loss", "m", "b", "x", "late"]
    assert list(columns["loss"].domain_discrete) == ["a", "b"]
    assert (columns["m"].domain_interval.min_value, columns["m"].domain_interval.max_value) == (0.5, 1.0)
    assert columns["b"].type == api_pb2.DATA_TYPE_BOOL
    assert list(columns["x"].domain_discrete) == ["1", "auto"]
    assert (columns["m"].differs, columns["late"].differs) == (True, False)


def test_distance_histograms(run, events):
    _, curves, *_ = run
    for name, counts, total in (
        ("same", curves.same_histogram, 225),
        ("different", curves.different_histogram, 4005 - 225),
    ):
        histogram = events.Histograms(f"test/verification/distances/{name}")[0].histogram_value
        assert histogram.num == total == counts.sum()
        assert sum(histogram.bucket) == total
        assert curves.bins[0] <= histogram.min < histogram.sum / total < histogram.max <= curves.bins[-1]
    same, different = (
        events.Histograms(f"test/verification/distances/{n}")[0].histogram_value for n in ("same", "different")
    )
    assert same.sum / same.num < different.sum / different.num


def test_pictures(events):
    for tag in ("test/verification/distances", "test/verification/roc"):
        image = events.Images(tag)[0]
        assert (image.width, image.height) == (768, 576)
        assert image.encoded_image_string.startswith(b"\x89PNG")


def test_precision_and_recall(run, events):
    _, curves, _, _, embedded = run
    sent = tensor_util.make_ndarray(events.Tensors("test/verification/precision_recall")[0].tensor_proto)
    assert sent.shape == (6, 127)
    d = embedded.distance.matrix(embedded.z, embedded.z)[tuple(torch.triu_indices(ROWS, ROWS, 1))]
    same = (embedded.labels[:, None] == embedded.labels)[tuple(torch.triu_indices(ROWS, ROWS, 1))]
    for point in (0, 40, 80, 110):
        accepted = d <= curves.threshold[-1] * (1 - point / 126) + 1e-6
        tp, fp = int((accepted & same).sum()), int((accepted & ~same).sum())
        # between two of 2000 points of 4005 pairs
        assert sent[:4, point] == pytest.approx([tp, fp, 3780 - fp, 225 - tp], abs=12)
        assert sent[4, point] == pytest.approx(tp / max(tp + fp, 1) if tp + fp else 1.0, abs=0.03)
        assert sent[5, point] == pytest.approx(tp / 225, abs=0.03)
    assert sent[4, -1] == 1.0  # nothing is accepted at distance 0


def test_threshold_of_the_picture(run):
    """What the legend says is what the figures say."""
    _, curves, threshold, figures, _ = run
    far, tar = rates_at(curves, threshold)
    assert far == pytest.approx(figures["verification/false_accept"].value, abs=2e-3)
    assert tar == pytest.approx(1 - figures["verification/false_reject"].value, abs=1e-2)
    assert rates_at(curves, -1.0) == (0.0, 0.0)
    assert rates_at(curves, 1e9) == (1.0, 1.0)
    texts = [t.get_text() for t in roc_plot(curves, threshold).axes[0].get_legend().get_texts()]
    assert any(f"accepts {100 * tar:.1f} % of the same, {100 * far:.2f} %" in text for text in texts)


def test_picture_of_distances(run):
    _, curves, threshold, *_ = run
    picture = distance_histograms(curves, SquaredEuclidean(), threshold, "A title")
    axes = picture.axes[0]
    assert axes.get_xlabel() == "squared euclidean distance of a pair"
    assert axes.get_title() == "A title"
    heights = [patch.get_data().values.sum() for patch in axes.patches]
    assert heights == pytest.approx([100.0] * 4)
    assert len(axes.patches[0].get_data().values) < len(curves.same_histogram), "225 pairs make no hundred bars"
    assert axes.lines[0].get_xdata()[0] == threshold
    assert len(distance_histograms(curves, SquaredEuclidean()).axes[0].lines) == 0
    drawn = pixels(picture)
    assert drawn.dtype == np.uint8
    assert (drawn == list(bytes.fromhex(BLUE[1:]))).all(-1).sum() > 200, "the same-identity outline is there"


def test_projector(run):
    path, _, _, _, embedded = run
    config = (path / "projector_config.pbtxt").read_text()
    for name in ("projector/tensors.tsv", "projector/metadata.tsv", "projector/sprite.png"):
        assert f'"{name}"' in config
    z = np.loadtxt(path / "projector/tensors.tsv", delimiter="\t")
    assert z == pytest.approx(embedded.z.numpy(), rel=1e-5, abs=1e-6)
    header, *lines = (path / "projector/metadata.tsv").read_text().splitlines()
    assert header == "identity\tscript\tfile"
    label = int(embedded.labels[4])
    assert len(lines) == ROWS
    assert lines[4].split("\t") == [f"id{label}", "Greek" if label % 2 else "Old Italic", "14.png"]
    with Image.open(path / "projector/sprite.png") as image:
        sprite = np.asarray(image)
    assert sprite.shape == (10 * 28, 10 * 28, 3)
    assert (sprite[28:56, 2 * 28 : 3 * 28] == 22).all(), "row 12, sample 22"
    assert (sprite[9 * 28 :, 28:] == 0).all(), "the last places of the sheet are empty"


@pytest.mark.parametrize(
    ("channels", "size", "thumbnail"), [(3, (100, 50), (32, 64)), (1, (20, 30), (30, 20)), (4, (64, 64), (64, 64))]
)
def test_thumbnails_of_other_images(tmp_path, channels, size, thumbnail):
    embedded = clusters(identities=5, images=4)
    samples, ids = samples_of(embedded, channels, size)
    projector.write_projector(tmp_path, embedded, samples, ids)
    with Image.open(tmp_path / "projector/sprite.png") as image:
        assert image.size == (5 * thumbnail[0], 5 * thumbnail[1])  # 20 images
    numbers = list(map(int, re.findall(r"single_image_dim: (\d+)", (tmp_path / "projector_config.pbtxt").read_text())))
    assert numbers == list(thumbnail)


def test_one_column_of_metadata_has_no_header(tmp_path):
    """The projector takes the first line for a name only where there are several columns."""
    embedded = clusters(identities=5, images=4)
    samples, ids = samples_of(embedded, files=False)
    embedded.groups.clear()
    projector.write_projector(tmp_path, embedded, samples, ids)
    assert (tmp_path / "projector/metadata.tsv").read_text().splitlines() == [f"id{label}" for label in embedded.labels]


@pytest.mark.parametrize(("identities", "images"), [(659, 20), (10, 1000), (5000, 1), (1, 3000), (300, 7)])
def test_a_large_test_part_is_thinned(identities, images):
    labels = torch.arange(identities).repeat_interleave(images)[torch.randperm(identities * images)]
    rows = projector.rows_to_show(labels)
    assert len(rows) == 2000 == len(rows.unique())
    assert (rows.diff() > 0).all()
    counts = labels[rows].bincount(minlength=identities)
    whole = min(images, max(20, 2000 // identities))
    assert (counts[counts > 0] < whole).sum() <= 1, "whole identities but for the last"


@pytest.mark.parametrize("n", [1, 2, 2000, 16_385, 90_000])
def test_no_sprite_is_too_large_for_a_browser(n):
    across = math.ceil(math.sqrt(n))
    assert 1 <= thumbnail_side(n) <= 64
    assert across * thumbnail_side(n) <= 8192


def test_a_small_test_part_is_shown_whole():
    assert projector.rows_to_show(torch.tensor([3, 3, 1])).tolist() == [0, 1, 2]


def test_a_run_without_test_part(tmp_path):
    write_events(tmp_path, compose(), EvaluatedPart("test"), BEST, step=1, began=time.time())
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()
    assert tags["scalars"] == ["best/verification/eer", "best/retrieval/map@r"]
    assert tags["images"] == []
    assert not (tmp_path / "projector").exists()


def test_a_run_without_verification(tmp_path):
    embedded = clusters(identities=5, images=4)
    figures = {"retrieval/map@r": Figure(0.5)}
    curves = error_curves({"retrieval": Retrieval()}, embedded)
    evaluated = EvaluatedPart("test", figures, embedded=embedded, curves=curves)
    write_events(tmp_path, compose(), evaluated, {}, step=1, began=time.time())
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()
    assert tags["scalars"] == ["test/retrieval/map@r"]
    assert tags["images"] == tags["histograms"] == []


@pytest.fixture(scope="module")
def server(run):
    """The address of a real server on the study's folder."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(run[0].parent),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        [*command, "--load_fast", "false", "--reload_interval", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        said = []
        for line in process.stderr:  # ends when the server does; the test's time limit ends the rest
            said.append(line)
            found = re.search(r"at (http://127\.0\.0\.1:\d+)/", line)
            if found:
                break
        else:
            pytest.fail("no server: " + "".join(said))
        yield found[1]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ask(server, path, body=None):
    request = urllib.request.Request(server + path, data=None if body is None else json.dumps(body).encode())  # noqa: S310
    if body is not None:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        content = answer.read()
    return json.loads(content) if answer.headers["Content-Type"].startswith("application/json") else content


def test_the_server_shows_it(server, run):
    figures, embedded = run[3], run[4]
    deadline = time.monotonic() + 300
    while "3f2a" not in ask(server, "/data/plugin/scalars/tags") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "test/verification/eer" in ask(server, "/data/plugin/scalars/tags")["3f2a"]
    assert "test/verification/roc" in ask(server, "/data/plugin/images/tags")["3f2a"]
    assert "test/verification/distances/same" in ask(server, "/data/plugin/histograms/tags")["3f2a"]
    assert "test/verification/precision_recall" in ask(server, "/data/plugin/pr_curves/tags")["3f2a"]

    experiment = ask(server, "/data/plugin/hparams/experiment", {"experimentName": "0"})
    columns = [{"name": column["name"], "type": column["type"]} for column in experiment["hparamInfos"]]
    assert {"loss", "loss.margin", "loss.temperature", "seed"} <= {column["name"] for column in columns}
    wanted = {
        "experimentName": "0", "startIndex": 0, "sliceSize": 10, "allowedStatuses": ["STATUS_SUCCESS"],
        "colParams": [{"metric": info["name"]} for info in experiment["metricInfos"]],
    }  # fmt: skip
    groups = ask(server, "/data/plugin/hparams/session_groups", wanted)["sessionGroups"]
    assert {group["hparams"]["loss"] for group in groups} == {"triplet", "supcon"}
    (group,) = (group for group in groups if group["hparams"]["loss"] == "triplet")
    assert group["hparams"]["loss"] == "triplet"
    assert group["hparams"]["seed"] == 7
    shown = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
    assert shown["best/verification/eer"] == 0.125
    assert shown["test/verification/eer"] == pytest.approx(figures["verification/eer"].value)

    assert ask(server, "/data/plugin/projector/runs") == ["3f2a"]
    (embedding,) = ask(server, "/data/plugin/projector/info?run=3f2a")["embeddings"]
    assert embedding["tensorShape"] == [ROWS, embedded.z.shape[1]]
    tensor = np.frombuffer(ask(server, "/data/plugin/projector/tensor?run=3f2a&name=test"), dtype=np.float32)
    assert tensor.reshape(ROWS, -1) == pytest.approx(embedded.z.numpy(), rel=1e-5, abs=1e-6)
    assert ask(server, "/data/plugin/projector/metadata?run=3f2a&name=test").startswith(b"identity\tscript\tfile\n")
    assert ask(server, "/data/plugin/projector/sprite_image?run=3f2a&name=test").startswith(b"\x89PNG")
