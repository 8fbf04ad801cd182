"""Decides by the machine what a config leaves to `auto`: accelerator, precision, memory layout, allocator."""

import ctypes
import sys
from dataclasses import asdict, dataclass

import torch

from siamese_lab.core.errors import LabError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # malloc.h of glibc


@dataclass(frozen=True)
class Decided:
    """The decisions of one run, recorded in run.json and printed."""

    accelerator: str
    precision: str
    layout: str
    allocator: str
    threads: int  # of each process
    processes: int

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return torch.device("cuda" if self.accelerator == "gpu" else "cpu")

    def as_dict(self) -> dict[str, str | int]:
        """For run.json."""
        return asdict(self)


def decide(accelerator: str, precision: str, channels_last: bool | None, allocator: bool, devices: int = 1) -> Decided:
    """Decides what the config leaves to the machine.

    Args:
        accelerator: "auto", "cpu" or "gpu".
        precision: "auto" or one of Lightning's; auto = bf16-mixed where the hardware multiplies bf16 itself, else
            32-true.
        channels_last: None = yes; convolutions are faster so, on CPUs and GPUs.
        allocator: keep freed memory in the process instead of giving it back after each tensor (Linux with glibc, CPU
            only).
        devices: GPUs, or processes that share the CPU's cores.

    Raises:
        LabError: if a GPU is asked for and there is none, or more of them than there are.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise LabError("trainer.accelerator=gpu needs a GPU that torch can use, and there is none: choose auto or cpu")
    gpu = accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available())
    if gpu and devices > torch.cuda.device_count():
        raise LabError(
            f"trainer.devices={devices} needs as many GPUs, and torch sees {torch.cuda.device_count()}: choose fewer"
        )
    if precision == "auto":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if gpu else cpu_multiplies_bf16()
        precision = "bf16-mixed" if has_bf16 else "32-true"
    kept = allocator and not gpu and keep_freed_memory()
    return Decided(
        accelerator="gpu" if gpu else "cpu",
        precision=precision,
        layout="channels_first" if channels_last is False else "channels_last",
        allocator="keeps freed memory" if kept else "default",
        threads=torch.get_num_threads() if gpu else max(1, torch.get_num_threads() // devices),
        processes=devices,
    )


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has bf16 products (AVX512-BF16 or AMX); elsewhere bf16 is emulated and slower than float32."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # since torch 2.13 or so
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("arm_bf16"))


def keep_freed_memory() -> bool:
    """Tells glibc to serve large tensors from the heap and to keep freed memory; returns whether that worked.

    Otherwise every large tensor is mapped and unmapped, and each of its pages is faulted in and zeroed anew, 100,000
    times a step of conv4 with 256 images of 28x28 pixels.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 << 20), (M_ARENA_MAX, 1))
    return sum(mallopt(name, value) for name, value in settings) == len(settings)  # each answers 1
