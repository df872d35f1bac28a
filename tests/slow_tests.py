"""What `make test` leaves out and `make test-all` runs, and what stays tested without it.

A test is named `MODULE::TEST`, without `test_`. Its cases (the text in brackets) of `quick` are kept,
and with `on` it is left out on these backends alone.
"""

from pathlib import Path
from typing import NamedTuple

JAX, TORCH = ("jax",), ("torch",)
NOT_TENSORFLOW, NOT_TORCH = (*JAX, *TORCH), ("tensorflow", *JAX)
METHODS = ("contrastive", "dmjd", "eesmm", "greenmim", "mae", "mixmim", "simmim")


class Slow(NamedTuple):
    """`why`: what is tested of it without the cases that are left out."""

    test: str
    why: str
    quick: tuple[str, ...] = ()
    on: tuple[str, ...] = ("tensorflow", "jax", "torch")


SLOW = [
    # === Whole runs ===
    Slow(
        "resume::a_stopped_run_ends_like_an_undisturbed_one",
        "one fine-tuning on TensorFlow, stopped between two micro-batches",
        quick=("finetune",),
    ),
    Slow(
        "resume::a_stopped_run_ends_like_an_undisturbed_one",
        "the same on TensorFlow; checkpoint files are tested on every backend",
        on=NOT_TENSORFLOW,
    ),
    Slow(
        "resume::the_same_folder_takes_the_same_command_only",
        "on TensorFlow, and without a run in run_folder",
        on=NOT_TENSORFLOW,
    ),
    Slow(
        "demo::demo",
        "the same way, command by command, in cli",
    ),
    Slow(
        "segmentation::a_stopped_run_ends_like_an_undisturbed_one",
        "a classifier's run in resume; nothing of the loop depends on the task",
    ),
    Slow(
        "segmentation::masks_that_were_begun_go_on_to_the_same_files",
        "rows that were begun in answers, masks of a run in segmentation",
    ),
    Slow(
        "segmentation::an_export_tells_its_classes_and_what_stands_for_them",
        "exports of a classifier in exports_files",
    ),
    Slow(
        "detection::a_stopped_run_ends_like_an_undisturbed_one",
        "a classifier's run in resume; nothing of the loop depends on the task",
    ),
    Slow(
        "detection::a_detector_learns_to_find_coloured_rectangles",
        "the targets of every box in detection_targets, and a run",
    ),
    Slow(
        "detection::predicted_boxes_are_those_of_the_model_and_of_an_onnx_file",
        "the evaluation of a run's boxes against pycocotools",
    ),
    Slow(
        "detection::boxes_that_were_begun_go_on_to_the_same_file",
        "rows that were begun in answers",
    ),
    Slow(
        "detection::an_export_tells_its_classes_and_how_it_is_used",
        "exports of a classifier in exports_files",
    ),
    Slow(
        "inputs_commands::an_interrupted_run_goes_on_bit_for_bit",
        "resume, and the batches of such images in data_pipeline",
    ),
    Slow(
        "inputs_commands::later_commands_read_images_as_the_run_did",
        "what the encoder keeps of its reading, and readers in data_reading",
    ),
    Slow("inputs_commands::doctor_measures_what_a_run_would_see", "data_statistics"),
    Slow(
        "run_folder::a_run_goes_on_after_images_were_added_and_after_some_were_removed",
        "batch_plan, and a run that goes on in resume",
    ),
    Slow(
        "run_folder::a_second_process_is_refused_until_the_first_is_dead",
        "the lock without a run in the tests beside it",
    ),
    Slow(
        "training_health::a_run_logs_the_rank_beside_its_probe_and_goes_on_to_the_same",
        "effective rank and signs by themselves",
    ),
    Slow("cli::images_smaller_than_the_input_are_enlarged", "resizing"),
    Slow("cli::init_from_starts_where_the_other_run_ended", "fine-tuning from a run, in cli"),
    Slow(
        "weights_commands::a_finetuning_starts_from_public_weights_at_another_size",
        "converters, and resized encoders there",
    ),
    Slow("compare::a_comparison_and_going_on_with_it", "cells, tables and evidence by themselves"),
    Slow(
        "benchmark::a_real_run_with_a_peer_that_stands_outside_and_fails_once",
        "cases and ratios by themselves",
    ),
    Slow(
        "doctor::a_trial_tells_time_memory_and_the_size_of_a_checkpoint",
        "the other reports of doctor",
    ),
    Slow("going_back::a_run_goes_back_once_with_half_the_rate", "float32", quick=("float32",)),
    Slow(
        "going_back::a_run_goes_back_once_with_half_the_rate",
        "on TensorFlow; the guard on every backend",
        on=NOT_TENSORFLOW,
    ),
    Slow(
        "partial_training::a_stopped_run_with_lora_ends_like_an_undisturbed_one",
        "resume, and what is in a checkpoint of LoRA",
    ),
    Slow(
        "partial_training::a_model_in_memory_with_lora_is_exported_as_it_computes",
        "the export of a run with LoRA",
    ),
    # === Several processes ===
    Slow(
        "distribution::two_devices_train_like_one",
        "shards of batches, weighted validation, random numbers by place in parallel",
    ),
    Slow("distribution::two_hosts_train_like_one", "shards of batches"),
    Slow(
        "cross_backend::another_backend_loads_and_computes_the_same",
        "every backend against transformers, in swin",
    ),
    # === One file each ===
    Slow("plugins_models::an_encoder_of_one_file_goes_all_the_way", "a method of one file"),
    Slow(
        "plugins_models::a_method_of_one_file_pretrains_and_reconstructs", "on TensorFlow", on=TORCH
    ),
    Slow("tasks::a_task_of_ones_own_is_tuned_evaluated_and_exported", "the contract of every task"),
    Slow(
        "tasks::every_task_keeps_its_contract",
        "a classifier; a run in segmentation",
        quick=("image_classifier",),
    ),
    Slow("tasks::every_task_keeps_its_contract", "on TensorFlow and torch", on=JAX),
    Slow("data_family::a_source_of_ones_own_feeds_the_commands", "the family's own tests"),
    Slow(
        "evaluation_probes::a_probe_of_ones_own_is_one_file_and_weights_with_nan_are_told",
        "the probes of this package",
    ),
    Slow(
        "compare::the_proxy_costs_what_swin_tiny_costs_relative_to_eesmm",
        "operation counts, in benchmark",
    ),
    Slow(
        "cli::every_command_heeds_the_limit_on_pictures_and_the_way_of_links",
        "data_index, data_sources",
    ),
    # === Exports ===
    Slow(
        "exports_formats::a_format_of_ones_own_is_written_run_and_proved_by_the_command",
        "one that writes wrong numbers",
    ),
    Slow(
        "exports_formats::every_format_keeps_its_contract",
        "the two that need nothing else",
        quick=("onnx", "savedmodel"),
    ),
    Slow(
        "exports_formats::a_format_of_ones_own_reaches_the_child_process",
        "a format of one's own in this process; children in exports_refusals",
    ),
    Slow(
        "exports_precision::int8_of_other_runtimes_is_smaller_and_judged_by_its_answers",
        "float16 by ONNX, and the judgement by itself",
    ),
    Slow(
        "exports_precision::int8_onnx_by_the_command_quantises_kernels_by_channel",
        "float16 by ONNX, and what the command tells",
    ),
    Slow("answers::an_exported_file_says_what_the_model_says", "exports_files"),
    Slow(
        "exports_files::onnx_takes_pixels_and_carries_its_metadata",
        "on TensorFlow; a child's error on torch",
        on=TORCH,
    ),
    # === Earlier releases ===
    Slow(
        "golden::a_half_finished_run_goes_on_to_the_weights_that_it_had",
        "one method",
        quick=("simmim",),
    ),
    Slow(
        "golden::the_losses_of_twenty_steps_are_those_that_they_were",
        "EESMM",
        quick=("eesmm",),
    ),
    Slow(
        "golden::a_file_gives_the_features_that_it_gave",
        "a method and a classifier",
        quick=("eesmm", "finetune"),
    ),
    # === Methods and encoders ===
    Slow(
        "methods::every_variable_learns_and_the_loss_falls",
        "three methods in float32 and one in half precision; all in float32 on torch",
        quick=("eesmm-float32", "mae-float32", "mixmim-float32", "eesmm-mixed_float16"),
        on=("tensorflow",),
    ),
    Slow(
        "methods::every_variable_learns_and_the_loss_falls",
        "two methods",
        quick=("eesmm-float32", "mae-float32"),
        on=JAX,
    ),
    Slow(
        "methods::every_variable_learns_and_the_loss_falls",
        "every method in float32",
        quick=(*(f"{name}-float32" for name in METHODS), "eesmm-mixed_float16"),
        on=TORCH,
    ),
    Slow(
        "methods::compiled_equals_eager",
        "EESMM, a dense method, and MixMIM's masked attention",
        quick=("eesmm", "mixmim", "simmim"),
        on=("tensorflow",),
    ),
    Slow("methods::compiled_equals_eager", "a dense method", quick=("simmim",), on=JAX),
    Slow("methods::config_and_file_round_trips", "EESMM and MAE", quick=("eesmm", "mae"), on=JAX),
    Slow(
        "methods::runs_on_a_vision_transformer",
        "EESMM and MAE; all on torch",
        quick=("eesmm", "mae"),
        on=NOT_TORCH,
    ),
    Slow("methods::other_encoders_fine_tune_and_load", "a ViT", quick=("vit",)),
    Slow(
        "methods::masks_change_from_step_to_step",
        "EESMM and MixMIM; all on torch",
        quick=("eesmm", "mixmim"),
        on=NOT_TORCH,
    ),
    Slow("methods::views_are_disjoint_in_every_method", "on TensorFlow", on=JAX),
    Slow("methods::a_torch_loader_of_images_alone", "on torch", on=("tensorflow", "jax")),
    Slow("eesmm::fit_learns_a_fixed_batch", "on torch, and in methods", on=NOT_TORCH),
    Slow("eesmm::fit_learns_a_fixed_batch", "one", quick=("default",), on=TORCH),
    Slow("eesmm::fit_takes_labels_datasets_and_uneven_batches", "on torch", on=NOT_TORCH),
    Slow("eesmm::hidden_pixels_do_not_reach_the_latent", "one mask", quick=("shared",), on=JAX),
    Slow("eesmm::unmixed_samples_are_the_first_image_of_their_mix", "on TensorFlow", on=JAX),
    Slow("eesmm::the_mask_changes_from_step_to_step", "in methods", on=JAX),
    Slow(
        "contrastive::views_of_one_image_come_together",
        "the closed form, and the fall of the loss in methods",
    ),
    Slow("convit::every_variable_learns", "one method", quick=("MAE",)),
    Slow("sparse_encoder::equals_dense_without_sight", "on TensorFlow and torch", on=JAX),
    Slow(
        "sparse_encoder::equals_dense_for_small_presets_and_unequal_sides",
        "on TensorFlow and torch",
        on=JAX,
    ),
    Slow(
        "swin::equals_transformers_at_every_stage", "maps that are padded", quick=("padded-160-4",)
    ),
    Slow("swin::base_has_the_published_number_of_parameters", "parity with transformers"),
    Slow(
        "image_classifier::fine_tunes_the_encoder_of_a_pretrained_model", "a run from a run, in cli"
    ),
    Slow("training_callbacks::learning_rate_warms_up_and_falls", "on TensorFlow", on=JAX),
    Slow(
        "guard::pretraining_is_guarded_too", "on torch, and the guard of a classifier", on=NOT_TORCH
    ),
]


def is_slow(name, backend):
    """Whether the table leaves out a test.

    Args:
        name: `tests/test_MODULE.py::test_TEST[CASE]`, as pytest has it.
        backend: the Keras backend.
    """
    path, _, rest = name.partition("::")
    test, _, case = rest.partition("[")
    wanted = f"{Path(path).stem}::{test}".replace("test_", "", 1).replace("::test_", "::")
    entries = (entry for entry in SLOW if entry.test == wanted and backend in entry.on)
    return any(case.removesuffix("]") not in entry.quick for entry in entries)
