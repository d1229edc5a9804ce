"""What pre-training and fine-tuning make alike of their options."""

from __future__ import annotations

from rspnet.config.training import OptimConfig
from rspnet.engine.optim import Schedule, scaled_learning_rate
from rspnet.runs.training import OptimizerSettings


def make_schedule(optim: OptimConfig, *, batch_size: int, total_steps: int, steps_per_epoch: int) -> Schedule:
    """The learning-rate schedule that the options ask for."""
    return Schedule(
        peak=scaled_learning_rate(optim.lr, batch_size=batch_size) if optim.scale_lr else optim.lr,
        kind=optim.schedule,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        unit=optim.schedule_unit,
        warmup_steps=optim.warmup_steps,
        milestones=optim.milestones,
    )


def optimizer_of(optim: OptimConfig) -> OptimizerSettings:
    """The optimiser's settings that the options ask for."""
    return OptimizerSettings(optim.name, optim.weight_decay, optim.clip_grad_norm)
