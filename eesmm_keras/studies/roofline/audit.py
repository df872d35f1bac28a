"""A method's step compiled for an absent accelerator; as a child process, its numbers alone."""

from dataclasses import dataclass

from eesmm_keras.child_process import Child, serve
from eesmm_keras.studies.roofline import report
from eesmm_keras.studies.roofline.accelerators import accelerator

_MODULE = "eesmm_keras.studies.roofline.audit"
_COLUMNS = {
    "kernels": "{}", "gigabytes": "{:.2f}", "teraflops": "{:.3f}", "memory_gb": "{:.2f}",
    "milliseconds": "{:.2f}", "images_per_s": "{:.0f}", "mfu": "{:.3f}",
}  # fmt: skip


@dataclass(frozen=True)
class Audit:
    """Attributes: numbers of `report.summary`, parts of `report.parts`, XLA's text of the program."""

    numbers: dict
    parts: dict
    text: str


def audit(
    method, backbone, batch, precision, device, image_size=None, remat=False, fused_attention=False
):
    """Build a method as `eesmm pretrain` does and compile its step.

    Args:
        method: name, with arguments as in `eesmm:num_mixed=4`. backbone: a preset's name.
        batch: images in a step. precision: Keras' policy. device: name of an `Accelerator`.
        image_size: side in pixels; None: the preset's. remat: see `recompute_blocks`.
        fused_attention: see `fuse_attention`.

    Raises:
        UserError: an unknown name, the extra is not there, or Keras does not run on JAX.
    """
    import keras

    from eesmm_keras.backbones import from_preset
    from eesmm_keras.layers.fused import fuse_attention
    from eesmm_keras.layers.recomputed import recompute_blocks
    from eesmm_keras.methods import get
    from eesmm_keras.names import split_arguments
    from eesmm_keras.studies.roofline.compiling import compile_step, memory_of, topology
    from eesmm_keras.studies.roofline.hlo import Program
    from eesmm_keras.training.optimizer import LayerDecayAdamW

    target = accelerator(device)
    topology(target)  # building takes a while: what is missing is told before
    keras.config.set_dtype_policy(precision)
    name, arguments = split_arguments(method)
    size = {"image_shape": (image_size, image_size, 3)} if image_size else {}
    model = get(name)(from_preset(backbone, **size), **{"seed": 0, **arguments})
    if remat:
        recompute_blocks(model)
    if fused_attention:
        fuse_attention(model)
    model.compile(LayerDecayAdamW(1e-4))
    compiled = compile_step(model, batch, target)
    program = Program.parse(compiled.as_text())
    numbers = report.summary(program, memory_of(compiled), batch, target)
    return Audit(numbers, report.parts(program, target), compiled.as_text())


def assumed(methods, **settings):
    """Table, in Markdown, of what methods would do on a device that is not there; see `audit`.

    Each is compiled in a process of its own, on JAX, whatever the backend of this one is.

    Raises:
        UserError: see `audit`.
    """
    lines = ["| name | " + " | ".join(_COLUMNS) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    for method in methods:
        with Child(_MODULE, {"method": method, **settings}, environment) as child:
            numbers = child.ask()
        values = [form.format(numbers[name]) for name, form in _COLUMNS.items()]
        lines.append(f"| {method} | " + " | ".join(values) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    serve(lambda spec: audit(**spec).numbers)
