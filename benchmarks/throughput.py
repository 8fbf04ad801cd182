"""How fast the lab trains and starts, beside the least that could do it and the way it is usually done.

    python benchmarks/throughput.py                              the embedded glyphs, some ten minutes on 2 quiet cores
    python benchmarks/throughput.py --root FOLDER                Omniglot's zips (images_background.zip, ...)
    python benchmarks/throughput.py --repeats 1 --steps 10       only to see that it works

conv4, 28x28 pixels, batches of 64 classes x 4 images, supervised contrastive loss, affine augmentation. Sides, each in
a fresh process and all in turn, so that a slow minute of the machine meets all of them:

    lab      `siamese-lab train`: its images a second (training.images_per_second of metrics.json), and the seconds from
    the command
             to its first step (training.first_step), with the data set in its cache
    bare     benchmarks/bare_loop.py: a loop by hand that does the same work without a line of the lab or of Lightning
    usual    benchmarks/usual_script.py: ImageFolder, torchvision transforms, 2 workers, pytorch-metric-learning,
    float32 imports  seconds of `python -c 'import torch, pytorch_lightning'`

All rates leave out the first five steps. Wanted, of the medians: lab / bare at least 0.95, lab / usual at least 4 (on 2
cores), and lab's start no more than 3 seconds after the imports. With the glyphs the usual script reads PNG files of
28x28 pixels, which is kind to it; with Omniglot it reads the publisher's, of 105x105.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath

HERE = Path(__file__).parent
SHARE, TIMES, LATER = 0.95, 4.0, 3.0
LAB = [
    *("augment=affine", "backbone=conv4", "miner=all", "loss=supcon", "optimizer=adamw", "protocol=[retrieval]"),
    *(
        "sampling=pk",
        "sampling.batch_size=256",
        "sampling.per_class=4",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
    ),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--repeats", type=int, default=5, help="rounds of all sides; the median of an odd number is one of them"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=200,
        help="of the lab and the bare loop; the usual script does a quarter, at least 20",
    )
    parser.add_argument("--root", type=Path, help="Omniglot's folder instead of the embedded glyphs")
    parser.add_argument(
        "--without", nargs="+", default=[], choices=["bare", "usual", "imports"], help="sides to leave out"
    )
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)  # the inner process that decodes the data
    args = parser.parse_args()
    if args.steps < 10 or args.repeats < 1:
        parser.error("at least 10 steps and 1 repeat: the first five steps are not measured")
    data = [
        f"data={'omniglot' if args.root else 'glyphs'}",
        *([f"data.root={args.root.resolve()}"] if args.root else []),
    ]
    if args.export:
        export(data, args.export, None if args.root is None else args.root)
        return 0
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        measure(args, data, Path(folder))
    return 0


def measure(args: argparse.Namespace, data: list[str], folder: Path) -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} (a quiet machine is below 0.3)", flush=True)
    again = ["--root", str(args.root)] if args.root else []
    call([sys.executable, str(HERE / "throughput.py"), *again, "--export", str(folder)])
    _, decided = lab(data, 10, folder)  # warms the caches of files and data
    imports()
    precision = "bfloat16" if decided["precision"].startswith("bf16") else "float32"
    print(
        f"decided: {', '.join(f'{k} {v}' for k, v in decided.items())}; {args.steps} steps, {args.repeats} rounds\n",
        flush=True,
    )
    found: dict[str, list[float]] = {}
    for number in range(args.repeats):
        rates, decided = lab(data, args.steps, folder)
        if "bare" not in args.without:
            rates["bare"] = rate(
                "bare_loop.py", str(folder / "train.npz"), "--steps", str(args.steps), "--precision", precision
            )
        if "usual" not in args.without:
            rates["usual"] = rate("usual_script.py", str(folder / "png"), "--steps", str(max(20, args.steps // 4)))
        if "imports" not in args.without:
            rates["imports"] = imports()
        for name, value in rates.items():
            found.setdefault(name, []).append(value)
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {shown(name, value)}" for name, value in rates.items()),
            flush=True,
        )
    print("\n" + table(found))


def lab(data: list[str], steps: int, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """One run of `siamese-lab train`: images a second and seconds to its first step; what it decided about the
    machine.
    """
    program = Path(sys.executable).with_name("siamese-lab")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "siamese_lab"]
    began = time.time()
    call(
        [*command, "train", *data, *LAB, f"sampling.steps={steps}", "--force"],
        SIAMESE_LAB_OUTPUTS=str(folder / "outputs"),
    )
    path = max((folder / "outputs").glob("*/*/metrics.json"), key=lambda file: file.stat().st_mtime)
    training = json.loads(path.read_text())["training"]
    decided = json.loads(path.with_name("run.json").read_text())["decided"]
    return {"lab": training["images_per_second"], "lab start": training["first_step"] - began}, decided


def rate(script: str, *words: str) -> float:
    """Images a second of a script beside this one."""
    return float(json.loads(call([sys.executable, str(HERE / script), *words]).splitlines()[-1])["images_per_second"])


def imports() -> float:
    """Seconds from the command to a process that has imported what training needs."""
    began = time.time()
    call([sys.executable, "-c", "import torch, pytorch_lightning"])
    return time.time() - began


def call(command: list[str], **environment: str) -> str:
    # warm = compiled once
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def export(data: list[str], folder: Path, root: Path | None) -> None:
    """Writes the training part as `train.npz` (the bare loop's) and as PNG files `png/<class>/<n>.png` (the usual
    script's).
    """
    import numpy as np
    from PIL import Image

    from siamese_lab.config.compose import compose
    from siamese_lab.data.load import load_data

    samples = load_data(compose([*data, *LAB]))
    ids = samples.ids("train")
    images, labels = samples.gather(ids).numpy(), samples.labels[ids].unique(return_inverse=True)[1].numpy()
    np.savez(folder / "train.npz", images=images, labels=labels)
    archive = None if root is None else root / "images_background.zip"
    if archive is not None and archive.exists():
        with zipfile.ZipFile(archive) as file:
            for name in (name for name in file.namelist() if name.endswith(".png") and not name.startswith("__MACOSX")):
                *_, alphabet, character, image = PurePosixPath(name).parts
                target = folder / "png" / f"{alphabet}-{character}" / image
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read(name))
        return
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        target = folder / "png" / f"{label:05}" / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(target)


def shown(name: str, value: float) -> str:
    return f"{value:.2f} s" if name in ("lab start", "imports") else f"{value:,.0f} images/s"


def table(found: dict[str, list[float]]) -> str:
    """Every single figure, the medians, and what is wanted of them."""
    middle = {name: statistics.median(values) for name, values in found.items()}
    lines = [f"{'':<10}{'median':>16}   each"]
    for name, values in found.items():
        lines.append(
            f"{name:<10}{shown(name, middle[name]):>16}   " + "  ".join(shown(name, v).split()[0] for v in values)
        )
    lines.append("")
    for other, wanted in (("bare", SHARE), ("usual", TIMES)):
        if other in found:
            ratio = middle["lab"] / middle[other]
            each = "  ".join(f"{a / b:.3f}" for a, b in zip(found["lab"], found[other], strict=True))
            lines.append(
                f"{'lab / ' + other:<24}{ratio:>8.3f}  wanted >= {wanted:<5} {'met' if ratio >= wanted else 'MISSED'} "
                f"  each {each}"
            )
    if "imports" in found:
        later = middle["lab start"] - middle["imports"]
        each = "  ".join(f"{a - b:.2f}" for a, b in zip(found["lab start"], found["imports"], strict=True))
        verdict = "met" if later <= LATER else "MISSED"
        lines.append(f"{'lab start - imports':<24}{later:>6.2f} s  wanted <= {LATER:<5} {verdict}   each {each}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
