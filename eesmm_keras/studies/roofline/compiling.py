"""A method's training step on JAX, compiled for an accelerator that this machine does not have."""

import importlib

from eesmm_keras.errors import UserError

_NEEDS = "pip install 'eesmm-keras[gpu-audit]'"

# Products by cuBLAS: choosing among Triton's needs a device to try them on. The machine code is never
# run: its optimisation, which takes most of the time and changes no kernel's work, is left out.
_OPTIONS = {
    "xla_gpu_enable_triton_gemm": False,
    "xla_gpu_autotune_level": 0,
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_gpu_disable_gpuasm_optimizations": True,
}


def check_compiler():
    """Raise a UserError where the extra gpu-audit is not installed."""
    try:
        importlib.import_module("jax_plugins.xla_cuda12")
    except ImportError as error:
        raise UserError(
            f"Compiling for an absent GPU needs JAX's CUDA compiler: {_NEEDS}"
        ) from error


def topology(accelerator):
    """The device as JAX compiles for it; it cannot run anything.

    Raises:
        UserError: the extra is not installed, or JAX is not the backend.
    """
    import keras

    if keras.backend.backend() != "jax":
        raise UserError("A step is compiled ahead of time on JAX: set KERAS_BACKEND=jax.")
    check_compiler()
    import jax

    jax.devices("cpu")  # JAX looks for its plug-ins when it starts
    from jax.experimental import topologies

    return topologies.get_topology_desc(
        "", "cuda", target_config=accelerator.target, topology="1x1x1"
    )


def compile_step(model, batch, accelerator):
    """The training step of a compiled model, as `fit` runs it, for batches of so many images.

    Args:
        model: a built method with its optimizer. batch: images in a step.
        accelerator: `Accelerator`.

    Returns:
        `jax.stages.Compiled`, donated state and all.
    """
    import jax
    from jax.experimental import topologies

    mesh = topologies.make_mesh(topology(accelerator), (1,), ("batch",))
    where = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def like(array):
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=where)

    parts = (
        model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
        model.metrics_variables,
    )  # fmt: skip
    state = tuple([like(variable.value) for variable in part] for part in parts)
    images = jax.ShapeDtypeStruct((batch, *model.backbone.image_shape), "uint8", sharding=where)
    step = jax.jit(model.train_step, donate_argnums=0)
    lowered = step.trace(state, (images,)).lower(lowering_platforms=("cuda",))
    return lowered.compile(_OPTIONS)


def memory_of(compiled):
    """Bytes of device memory that a step takes at its peak."""
    stats = compiled.memory_analysis()
    total = stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
    return total - stats.alias_size_in_bytes
