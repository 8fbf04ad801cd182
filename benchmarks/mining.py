"""Time and memory of losses and miners over a batch, ours beside pytorch-metric-learning's, and of offline mining.

    python benchmarks/mining.py                                   the whole table, some twenty minutes on 2 quiet cores
    python benchmarks/mining.py --sizes 256 2048 --kinds triplet semi_hard
    python benchmarks/mining.py --offline                         50 nearest of 8,192 queries among 1,000,000 x 128,
    exact

Batch: B unit vectors of 128 dimensions, 4 of a class, float32; a step is the loss and its gradient. Each side runs in a
fresh process, the two in turn; `ms` is the median of its steps, `MB` its peak resident memory less what it had with the
inputs and the libraries in place. A side that needs more than --gigabytes of address space, or --seconds for its first
step, has a dash. Wanted: our speed at least 0.95 of theirs everywhere; for the triplet losses of 1,024 images and more,
5 times theirs or a tenth of their memory.

Offline: the rate of multiply-adds of siamese_lab.metrics.neighbours, beside that of the bare matrix products of the
same tiles; wanted: 0.6 of it, within 64 MB beside the embeddings and the result.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SIZES = [64, 128, 256, 512, 1024, 2048, 4096, 8192]
KINDS = ["triplet", "triplet_soft", "batch_hard", "semi_hard", "contrastive", "supcon", "multi_similarity"]
TRIPLETS = {"triplet", "triplet_soft", "batch_hard", "semi_hard"}
DIM, EACH, GIGA = 128, 4, 1 << 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="B")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side; the median is shown")
    parser.add_argument("--gigabytes", type=float, default=14.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--queries", type=int, default=8192)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)  # the inner process: side, kind, B
    args = parser.parse_args()
    if args.side:
        print(json.dumps(side(args.side[0], args.side[1], int(args.side[2]), args.gigabytes)))
        return 0
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} (a quiet machine is below 0.3)\n")
    if args.offline:
        offline(args.queries, args.rows)
    else:
        table(args)
    return 0


def table(args: argparse.Namespace) -> None:
    print(f"{'':<18}{'B':>6}{'ours ms':>11}{'theirs ms':>11}{'speed':>8}{'ours MB':>10}{'theirs MB':>11}{'memory':>8}")
    for kind in args.kinds:
        for size in args.sizes:
            found: dict[str, list[dict[str, float] | None]] = {"ours": [], "theirs": []}
            for _ in range(args.rounds):
                for name, results in found.items():
                    if None not in results:
                        results.append(measured(name, kind, size, args))
            ours, theirs = (middle(found[name]) for name in ("ours", "theirs"))
            speed = f"{theirs['ms'] / ours['ms']:.2f}" if ours and theirs else "-"
            memory = f"{theirs['mb'] / max(1.0, ours['mb']):.1f}" if ours and theirs else "-"
            columns = [
                shown(ours, "ms", 11),
                shown(theirs, "ms", 11),
                f"{speed:>8}",
                shown(ours, "mb", 10),
                shown(theirs, "mb", 11),
            ]
            print(f"{kind:<18}{size:>6}{''.join(columns)}{memory:>8}", flush=True)


def measured(name: str, kind: str, size: int, args: argparse.Namespace) -> dict[str, float] | None:
    command = [sys.executable, __file__, "--gigabytes", str(args.gigabytes), "--side", name, kind, str(size)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.seconds + 60, check=False)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def middle(results: list[dict[str, float] | None]) -> dict[str, float] | None:
    whole = [result for result in results if result is not None]
    return (
        {key: statistics.median(one[key] for one in whole) for key in ("ms", "mb")}
        if len(whole) == len(results)
        else None
    )


def shown(result: dict[str, float] | None, key: str, width: int) -> str:
    return f"{'-':>{width}}" if result is None else f"{result[key]:>{width},.{2 if result[key] < 100 else 0}f}"


def side(name: str, kind: str, size: int, gigabytes: float) -> dict[str, float]:
    import torch
    from torch.nn import functional as F

    step = (ours if name == "ours" else theirs)(kind)
    torch.manual_seed(0)
    z, labels = F.normalize(torch.randn(size, DIM)).requires_grad_(), torch.arange(size) // EACH
    step(z[:64], labels[:64])
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(gigabytes * GIGA),) * 2)
    before, times = peak(), []
    until = time.perf_counter() + 2.0
    while time.perf_counter() < until or len(times) < 3:
        z.grad = None
        start = time.perf_counter()
        step(z, labels)
        times.append(1000 * (time.perf_counter() - start))
        if times[0] > 20_000:
            break
    return {"ms": statistics.median(times[1:] or times), "mb": peak() - before}


def ours(kind: str) -> Callable:
    from siamese_lab.distances.cosine import Cosine
    from siamese_lab.distances.euclidean import Euclidean
    from siamese_lab.losses.contrastive import ContrastiveLoss
    from siamese_lab.losses.multi_similarity import MultiSimilarityLoss
    from siamese_lab.losses.supcon import SupConLoss
    from siamese_lab.losses.triplet import TripletLoss
    from siamese_lab.miners.batch_hard import BatchHard
    from siamese_lab.miners.semi_hard import SemiHard
    from siamese_lab.structures.embedded import Embedded

    loss, miner, distance = {
        "triplet": (TripletLoss(), None, Euclidean()),
        "triplet_soft": (TripletLoss(form="soft"), None, Euclidean()),
        "batch_hard": (TripletLoss(), BatchHard(), Euclidean()),
        "semi_hard": (TripletLoss(), SemiHard(), Euclidean()),
        "contrastive": (ContrastiveLoss(), None, Euclidean()),
        "supcon": (SupConLoss(), None, Cosine()),
        "multi_similarity": (MultiSimilarityLoss(), None, Cosine()),
    }[kind]

    def step(z, labels):
        e = Embedded(z, labels, distance=distance)
        loss(e, miner(e) if miner else None)[0].backward()

    return step


def theirs(kind: str) -> Callable:
    from pytorch_metric_learning import distances, losses, miners

    distance = distances.LpDistance(normalize_embeddings=False)
    loss, miner = {
        "triplet": (losses.TripletMarginLoss(0.2, distance=distance), None),
        "triplet_soft": (losses.TripletMarginLoss(0.0, smooth_loss=True, distance=distance), None),
        "batch_hard": (losses.TripletMarginLoss(0.2, distance=distance), miners.BatchHardMiner(distance=distance)),
        "semi_hard": (
            losses.TripletMarginLoss(0.2, distance=distance),
            miners.TripletMarginMiner(0.2, type_of_triplets="semihard", distance=distance),
        ),
        "contrastive": (losses.ContrastiveLoss(0.0, 1.0, distance=distance), None),
        "supcon": (losses.SupConLoss(0.1), None),
        "multi_similarity": (losses.MultiSimilarityLoss(), None),
    }[kind]

    def step(z, labels):
        loss(z, labels, miner(z, labels) if miner else None).backward()

    return step


def peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def offline(queries: int, rows: int, k: int = 50) -> None:
    import torch
    from torch.nn import functional as F

    from siamese_lab.distances.cosine import Cosine
    from siamese_lab.metrics.neighbours import COLUMNS, ROWS, nearest_others

    torch.manual_seed(0)
    z, labels = F.normalize(torch.randn(rows, DIM)), torch.arange(rows) // 10
    asked = torch.randperm(rows)[:queries]
    nearest_others(z[:10_000], labels[:10_000], Cosine(), k, torch.arange(ROWS))
    before, rates = peak(), {"bare": [], "ours": []}
    for part in asked.split(queries // 4):  # in turn
        rates["bare"].append(rate(len(part), rows, lambda part=part: products(z, part, ROWS, COLUMNS)))
        rates["ours"].append(rate(len(part), rows, lambda part=part: nearest_others(z, labels, Cosine(), k, part)))
    bare, mined = (statistics.median(rates[name]) for name in ("bare", "ours"))
    print(f"the {k} nearest of {queries:,} queries among {rows:,} x {DIM}, exact")
    print(
        f"bare products   {bare / 1e9:>8.1f} G multiply-adds/s  ({', '.join(f'{r / 1e9:.1f}' for r in rates['bare'])})"
    )
    print(
        f"mining          {mined / 1e9:>8.1f} G multiply-adds/s  ({', '.join(f'{r / 1e9:.1f}' for r in rates['ours'])})"
    )
    print(
        f"share           {statistics.median(o / b for o, b in zip(rates['ours'], rates['bare'], strict=True)):>8.2f}"
    )
    print(
        f"memory          {peak() - before:>8.0f} MB beside the embeddings ({rows * DIM * 4 / 1e6:,.0f} MB, and once "
        "more, normalised)"
    )


def rate(queries: int, rows: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return queries * rows * DIM / (time.perf_counter() - start)


def products(z, asked, height: int, width: int) -> None:
    for rows in asked.split(height):
        a = z[rows]
        for begin in range(0, len(z), width):
            a @ z[begin : begin + width].T


if __name__ == "__main__":
    sys.exit(main())
