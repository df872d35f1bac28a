"""Learning rate and optimizer of a run."""

import keras

from eesmm_keras.training.optimizer import LayerDecayAdamW, layer_decay_scales

# Batch for which the recipes' learning rates hold (Swin, SimMIM).
REFERENCE_BATCH = 512
# A short run warms up for this share of its steps at most.
MAX_WARMUP = 0.2


def make_optimizer(settings, model, steps_per_epoch, batch_size=None):
    """AdamW with linear warm-up, cosine decay and layer-wise learning rates, per `settings`.

    Args:
        settings: `PretrainSettings` or `FinetuneSettings`.
        model: a `GuardedModel`: its encoder gets layer-wise rates, all rates its
            `learning_rate_scale`, and what it lists as `no_weight_decay` is not decayed.
        steps_per_epoch: batches per epoch. With accumulation the schedule counts batches, not
            updates, because Keras' iterations do.
        batch_size: images per step; None: `settings.batch_size`.
    """
    batch_size = batch_size or settings.batch_size
    scale = model.learning_rate_scale * batch_size * settings.accumulate / REFERENCE_BATCH
    total = settings.epochs * steps_per_epoch
    warmup = min(round(settings.warmup_epochs * steps_per_epoch), round(MAX_WARMUP * total))
    peak = settings.learning_rate * scale
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.warmup_learning_rate * scale if warmup else peak,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
        decay_steps=max(total - warmup, 1),
        alpha=settings.min_learning_rate / settings.learning_rate if settings.learning_rate else 0,
    )
    return LayerDecayAdamW(
        schedule,
        weight_decay=settings.weight_decay,
        lr_scales=layer_decay_scales(model.backbone, settings.layer_decay),
        undecayed=model.no_weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        global_clipnorm=settings.clip_norm,
        gradient_accumulation_steps=settings.accumulate if settings.accumulate > 1 else None,
        use_ema=bool(getattr(settings, "ema_momentum", None)),
        ema_momentum=getattr(settings, "ema_momentum", None) or 0.99,
    )
