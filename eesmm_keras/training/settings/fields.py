"""Every setting in one line: its name, kind, default, help and, if it is one, option."""

import copy

from pydantic import Field

from eesmm_keras.checks import MAX_DEPTH, MAX_WIDTH
from eesmm_keras.training.settings.base import Settings, setting
from eesmm_keras.training.settings.kinds import (
    Arguments,
    Bands,
    Count,
    Given,
    Interval,
    Path,
    Rate,
    Share,
    Size,
    Text,
    choice,
    interval,
    member_of,
    number,
    whole,
)

_DATA = (
    "digits (bundled with scikit-learn), photo-tiles, a folder of class folders (with or without "
    "train/ val/ test/), a flat folder of images, tfds:NAME[:SPLIT], wds:SHARDS or parquet:FILES."
)


class Schedule(Settings):
    """Settings that pre-training and fine-tuning share.

    The three learning rates are scaled linearly with the effective batch, `batch_size * accumulate`
    (Swin, SimMIM).
    """

    data: Given = setting("", _DATA, option="DATA")
    out: Given = setting("", "The run's folder; an unfinished run in it goes on.", option="RUN")
    data_dir: Path | None = setting(None, "Where TFDS data sets lie.", option="DIR")
    image_size: Size | None = setting(
        None, "Pixels along a side, or height and width. Default: the encoder's.", option="N|H,W"
    )
    channels: whole(1, 64) | None = setting(
        None, "Of the images. Default: 3, or the first image's of native pixels.", option="N"
    )
    bands: Bands | None = setting(
        None, "Which channels of the files are taken, from 1, in this order.", option="N,N,..."
    )
    pixels: choice("uint8", "native") | None = setting(
        None,
        "uint8: 8 bits, any format. native: the files' own numbers, their range as 0..255. Default: "
        "8-bit JPEG, PNG, BMP, GIF and WebP where there are any; see eesmm docs data.",
        option="uint8|native",
    )
    stats: Path | None = setting(
        None,
        "Mean and deviation of the channels: auto (measured), imagenet, or a file of eesmm doctor.",
        option="auto|imagenet|FILE",
    )
    tile: Size | None = setting(
        None, "Random windows of so many pixels instead of whole images.", option="N|H,W"
    )
    exif: bool = setting(True, "Turn pictures as EXIF says that they lie.")
    pages: choice("first", "all") | None = setting(
        None, "Of a file with several: the first, or all of them as channels. Default: first."
    )
    limit: Count | None = setting(
        None, "Training images used, every class alike, chosen by the seed."
    )
    max_bad_images: whole(0) | None = setting(
        None, "Images that may be unreadable. Default: 1 %, and at least 100.", option="N"
    )
    max_image_pixels: whole(1, 2**40) | None = setting(
        None, "Larger pictures are bad images. Default: Pillow's, 89 million.", option="N"
    )
    follow_links: bool = setting(False, "Follow links that lead out of the data folder.", option="")
    epochs: Count = setting(100, "Times that all images are seen.", option="N")
    batch_size: Count = setting(64, "Images per step.", option="N")
    accumulate: whole(1, 65536) = setting(
        1, "Batches accumulated per optimizer update.", option="N"
    )
    steps_per_epoch: Count | None = setting(None, "Default: all images once.", option="N")
    gpus: whole(1, 1024) | None = setting(
        None, "GPUs of each host. Default: the backend's own device.", option="N"
    )
    devices: Text | None = setting(
        None, "Devices of each host, also of the processor.", option="cpu:N|gpu:N"
    )
    coordinator: Text | None = setting(
        None,
        "Several hosts: where the first one listens; see eesmm docs scaling.",
        option="HOST:PORT|slurm",
    )
    num_hosts: whole(1, 65536) | None = setting(None, "Processes that train together.", option="N")
    host_index: whole(0, 65535) | None = setting(None, "Which one this is, from 0.", option="I")
    precision: choice("float32", "mixed_bfloat16", "mixed_float16") = setting(
        "float32", "float32, mixed_bfloat16 or mixed_float16.", option="P"
    )
    min_coverage: Share | None = setting(
        None,
        "Of the encoder's numbers that starting weights must hold. Default: 0.95.",
        option="SHARE",
    )
    adapt_channels: choice("mean", "repeat", "first") | None = setting(
        None, "For starting weights of other channels. Default: mean."
    )
    adapt_tables: choice("bicubic", "geometric") | None = setting(
        None, "For starting weights of other windows. Default: bicubic."
    )
    seed: whole(0, 2**32 - 1) = setting(0, "Of everything that is drawn at random.", option="N")
    learning_rate: Rate = setting(1e-3, "For 512 images per update.")
    min_learning_rate: Rate = setting(1e-6, "At the end, for 512 images per update.")
    warmup_learning_rate: Rate = setting(1e-6, "At the beginning, for 512 images per update.")
    warmup_epochs: number(0, 100_000) = setting(
        5.0, "Epochs of rising rates, at most a fifth of all."
    )
    weight_decay: Rate = setting(0.05, "Of AdamW.")
    beta_1: number(0, 1, without=(1,)) = setting(0.9, "Of AdamW.")
    beta_2: number(0, 1, without=(1,)) = setting(0.999, "Of AdamW.")
    epsilon: number(0, 1, without=(0,)) = setting(1e-8, "Of AdamW.")
    layer_decay: Share = setting(
        1.0, "Factor on the learning rate from a block to the one before it."
    )
    clip_norm: number(0, 1e6, without=(0,)) | None = setting(
        None, "Largest norm of all gradients together. Default: none."
    )
    crop_scale: interval(0, 1, without=(0,)) = setting(
        (0.2, 1.0), "Share of an image's area that a crop takes."
    )
    crop_ratio: interval(0.001, 1000) = setting((3 / 4, 4 / 3), "Width over height of a crop.")
    flip: bool = setting(True, "Mirror half of the images.")
    checkpoint_every: Interval = setting(
        "10 minutes", "Steps, minutes or epochs.", option="N|'M minutes'"
    )
    track: choice("mlflow", "wandb", "tensorboard") | None = setting(
        None,
        "Tell an experiment tracker of the run; TensorBoard's events are always in RUN/tensorboard.",
        option="mlflow|wandb|tensorboard",
    )
    checkpoint_keep: Count = setting(2, "Checkpoints that are kept.")
    max_bad_steps: Count = setting(
        10,
        "Skipped steps (values that are not finite) in a row before going back.",
        option="N",
    )


class PretrainSettings(Schedule):
    """What `eesmm pretrain` can be told. `method_args` are arguments of the method's constructor."""

    method: Text = setting("eesmm", "See eesmm list methods.", option="NAME")
    backbone: Text | None = setting(None, "See eesmm list backbones.", option="NAME[:KEY=VALUE]")
    init_from: Path | None = setting(
        None,
        "Start from weights, the decoder's too where the method is the same: eesmm docs weights.",
        option="RUN|FILE|hf://...",
    )
    automatic: bool = setting(
        False, "Whether encoder, rate, epochs and so on were chosen for the data; a run's record."
    )
    remat: bool = setting(
        False, "Less memory, more time: compute each block again on the way back.", option=""
    )
    fused_attention: bool = setting(
        False, "Attention in windows in one kernel, on one NVIDIA GPU under JAX.", option=""
    )
    pictures_every: Count = setting(10, "Epochs between two pictures.")
    probe_data: Path | None = setting(
        None, "Labelled images: the accuracy of frozen features while training.", option="DATA"
    )
    probe_mode: member_of("eesmm_keras.evaluation.probes:PROBES") = setting(
        "knn", "What is fitted on the frozen features."
    )
    probe_every: Count = setting(10, "Epochs between two probes.", option="N")
    method_args: Arguments = Field(default_factory=dict)


class FinetuneSettings(Schedule):
    """What `eesmm finetune` can be told."""

    weights: Given = setting(
        "",
        "Pre-trained encoder, see eesmm docs weights; none: random weights.",
        option="RUN|FILE|hf://...|none",
    )
    backbone: Text | None = setting(
        None,
        "See eesmm list backbones. Default: the encoder of --weights; of none swin_tiny, for digits "
        "swin_mini_32.",
        option="NAME[:KEY=VALUE]",
    )
    task_name: member_of("eesmm_keras.tasks:TASKS") | None = setting(
        None, "What it learns from the labels, a member of the tasks. Default: image_classifier."
    )
    freeze: whole(0, MAX_DEPTH) = setting(
        0,
        "First stages of the encoder (blocks of a ViT) that stay as they are, patch embedding "
        "included; all of them: the head alone learns.",
        option="N",
    )
    lora: whole(1, MAX_WIDTH) | None = setting(
        None,
        "Train low-rank updates of the encoder's dense layers, of this rank, and the head; see "
        "eesmm docs finetuning. Default: all weights.",
        option="RANK",
    )
    drop_path: number(0, 1, without=(1,)) = setting(0.1, "Stochastic depth of the last block.")
    label_share: number(0, 1, without=(0,)) = setting(
        1.0, "Share of every class's training images, at least one each."
    )
    labels_per_class: Count | None = setting(
        None, "So many training images of every class instead, drawn by the seed."
    )
    val_limit: Count | None = setting(None, "Validation images used, every class alike.")
    label_smoothing: Share = setting(0.1, "Share of a label that goes to all classes.")
    ema_momentum: number(0, 1, without=(1,)) | None = setting(
        None, "Of the average of the weights; 0: none. Default: none."
    )
    rand_augment_magnitude: Share | None = setting(
        None, "RandAugment, on a scale of 0 to 1. Default: none."
    )
    mixup_alpha: number(0, 100) | None = setting(None, "MixUp; 0: none. Default: none.")
    cutmix_alpha: number(0, 100) | None = setting(None, "CutMix; 0: none. Default: none.")
    erasing: Share = setting(0.0, "Share of the images that lose a rectangle to noise.")
    crop_scale: interval(0, 1, without=(0,)) = setting(
        (0.08, 1.0), "Share of an image's area that a crop takes."
    )


def as_dict(settings):
    """Settings as plain YAML types."""
    return {
        key: list(value) if isinstance(value, tuple) else copy.deepcopy(value)
        for key, value in settings
    }
