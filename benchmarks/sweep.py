"""What a sweep costs beyond the training of its runs: wall time x slots / the sum of the runs' own training seconds.

    python benchmarks/sweep.py                          # 24 runs of some 20 s
    python benchmarks/sweep.py --runs 8 --epochs 20     # shorter ones: the fixed costs weigh more

Wall time is that of the whole command: planning, checks, starting processes, evaluation and figures of each run
included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROBLEM = [
    "data.train_scripts=[GREEK,COPTIC,CYRILLIC]",
    "data.val_scripts=[ARMENIAN]",
    "data.test_scripts=[GEORGIAN]",
    "sampling.steps=20",
    "trainer.progress=false",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=24, help="an even number: half of each of two losses")
    parser.add_argument("--epochs", type=int, default=6, help="6 take some 20 s on one core")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seeds = ",".join(map(str, range(given.runs // 2)))
        words = [
            *PROBLEM,
            f"trainer.max_epochs={given.epochs}",
            "loss=contrastive,supcon",
            f"seed={seeds}",
            "study=overhead",
        ]
        command = [sys.executable, "-m", "siamese_lab", "train", "-m", *words]
        environment = os.environ | {"SIAMESE_LAB_OUTPUTS": folder, "PYTHONPATH": str(ROOT)}
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        wall = time.perf_counter() - began
        began = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        again = time.perf_counter() - began
        slots = int(next(line for line in done.stdout.splitlines() if line.endswith("at once")).split()[-3])
        runs = sorted(Path(folder).glob("overhead/*/run.json"))
        training = [json.loads(path.with_name("metrics.json").read_text())["training"]["seconds"] for path in runs]
        whole = [json.loads(path.read_text())["seconds"] for path in runs]
    each, lived = sum(training) / len(runs), sum(whole) / len(runs)
    print(f"{len(runs)} runs, {slots} at once: training {each:.1f} s each, {lived:.1f} s from begun to finished")
    print(f"wall {wall:.1f} s x {slots} / {sum(training):.1f} s = {wall * slots / sum(training):.3f}")
    print(f"the same command again: {again:.2f} s")


if __name__ == "__main__":
    main()
