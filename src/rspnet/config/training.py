"""Options that `rspnet pretrain` and `rspnet finetune` share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rspnet.config.rules import Device, Precision, require


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and learning-rate schedule."""

    name: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum 0.9 is published; AdamW has betas 0.9 and 0.999."""
    lr: float = 0.1
    """Learning rate for 64 clips a step (see `scale_lr`)."""
    scale_lr: bool = True
    """Multiply `lr` by batch_size / 64, as published for pre-training."""
    weight_decay: float = 1e-4
    """Weight decay of all parameters."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Cosine ends at lr / 1000; step divides by 10 at each milestone."""
    schedule_unit: Literal["epoch", "step"] = "epoch"
    """Whether the rate changes once an epoch (published) or every step."""
    milestones: tuple[float, ...] = ()
    """Epochs (fractions allowed) at which the step schedule divides by 10."""
    warmup_steps: int = 0
    """Steps of linear warm-up from 0 (none in the published recipe)."""
    clip_grad_norm: float | None = None
    """Largest gradient norm; longer gradients are scaled down."""

    def __post_init__(self) -> None:
        require(self.lr > 0, f"--optim.lr {self.lr}: must be above 0")
        require(self.weight_decay >= 0, f"--optim.weight_decay {self.weight_decay}: must not be negative")
        require(self.warmup_steps >= 0, f"--optim.warmup_steps {self.warmup_steps}: must not be negative")
        milestones_fit = (self.schedule == "step") == bool(self.milestones)
        require(milestones_fit, "--optim.milestones belong to --optim.schedule step, which needs them")
        ascending = all(a < b for a, b in pairwise((0.0, *self.milestones)))
        require(ascending, f"--optim.milestones {list(self.milestones)}: must be epochs above 0, in ascending order")
        clip = self.clip_grad_norm
        require(clip is None or clip > 0, f"--optim.clip_grad_norm {clip}: must be above 0")


@dataclass(frozen=True)
class EngineConfig:
    """Machine, precision, checkpoints and logs."""

    device: Device = "auto"
    """Where to train."""
    devices: int = 1
    """Processes on this machine (one per GPU); under torchrun it is taken from there."""
    num_nodes: int = 1
    """Machines that train together."""
    precision: Precision = "auto"
    """bf16 autocast where the processor has it (auto), or fp32, or fp16 with loss scaling (CUDA only)."""
    channels_last: bool = True
    """Keep clips and weights in channels_last_3d layout (faster)."""
    compile: bool = False
    """For GPUs: compile the encoders with torch.compile (needs a C++ compiler; the first step takes minutes)."""
    deterministic: bool = False
    """With CUDA: only kernels that give the same bits every time, which an exact --resume needs there (slower)."""
    activation_checkpointing: bool = False
    """Keep less for the backward pass and compute it again there: less memory, more time, the same results."""
    threads: int | None = None
    """CPU threads of the training process; the default is its share of the cores by the work of a clip."""
    checkpoint_every: int | None = None
    """Steps between checkpoints in addition to that after every epoch."""
    keep: int = 1
    """Numbered checkpoints of earlier epochs that are kept besides `last`; --resume falls back on them."""
    log_every: int = 10
    """Steps between log lines."""
    bad_steps: int = 3
    """Steps in a row whose loss is not finite, or ten times the highest of the first hundred, that end the run."""
    loggers: tuple[Literal["csv", "tensorboard", "wandb"], ...] = ("csv", "tensorboard")
    """Where curves are written; wandb is the extra `rspnet[wandb]`."""

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "log_every", "bad_steps"):
            require(getattr(self, name) >= 1, f"--engine.{name} {getattr(self, name)}: must be at least 1")
        require(
            not (self.compile and self.activation_checkpointing),
            "--engine.compile and --engine.activation_checkpointing do not go together: choose one",
        )
        require(self.keep >= 0, f"--engine.keep {self.keep}: must not be negative")
        for name in ("threads", "checkpoint_every"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"--engine.{name} {value}: must be at least 1")
        require(
            self.precision != "fp16" or self.device != "cpu", "--engine.precision fp16 needs CUDA: use bf16 or fp32"
        )
