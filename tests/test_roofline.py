"""What a compiled step does: XLA's text read right, and no more kernels than were recorded."""

import importlib.util

import keras
import pytest

from conftest import TINY_SWIN
from eesmm_keras import LayerDecayAdamW
from eesmm_keras.backbones import from_preset
from eesmm_keras.errors import UserError
from eesmm_keras.layers.fused import fuse_attention
from eesmm_keras.layers.recomputed import recompute_blocks
from eesmm_keras.methods import get
from eesmm_keras.studies.roofline import report
from eesmm_keras.studies.roofline.accelerators import accelerator
from eesmm_keras.studies.roofline.compiling import compile_step, memory_of, topology
from eesmm_keras.studies.roofline.hlo import Program

HLO = """
HloModule jit_train_step

%fused_take (param_0: f32[100,8], param_1: s32[5]) -> f32[5,8] {
  %param_0 = f32[100,8]{1,0} parameter(0)
  %param_1 = s32[5]{0} parameter(1)
  ROOT %gather.1 = f32[5,8]{1,0} gather(%param_0, %param_1), offset_dims={1}, slice_sizes={1,8}
}

%branch_0 (p: f32[5,8]) -> f32[5,8] {
  %p = f32[5,8]{1,0} parameter(0)
  ROOT %wrapped_negate = f32[5,8]{1,0} negate(%p)
}

%branch_1 (q: f32[5,8]) -> f32[5,8] {
  ROOT %q = f32[5,8]{1,0} parameter(0)
}

ENTRY %main (a: f32[100,8], b: s32[5], c: bf16[4,8], d: bf16[8,16], e: pred[]) -> f32[5,8] {
  %a = f32[100,8]{1,0} parameter(0)
  %b = s32[5]{0} parameter(1)
  %c = bf16[4,8]{1,0} parameter(2)
  %d = bf16[8,16]{1,0} parameter(3)
  %e = pred[] parameter(4)
  %take = f32[5,8]{1,0} fusion(%a, %b), kind=kLoop, calls=%fused_take, metadata={op_name="jit(train_step)/jvp(stage_0)/block_0/attention/take"}
  %gemm.1 = (bf16[4,16]{1,0}, s8[1024]{0}) custom-call(%c, %d), custom_call_target="__cublas$gemm", metadata={op_name="jit(train_step)/jvp(stage_0)/block_0/attention/qkv/dot_general"}, backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  %gte = bf16[4,16]{1,0} get-tuple-element(%gemm.1), index=0
  %adam = f32[5,8]{1,0} negate(%take), metadata={op_name="jit(train_step)/layer_decay_adam_w/select_n"}
  ROOT %cond = f32[5,8]{1,0} conditional(%e, %adam, %take), branch_computations={%branch_0, %branch_1}
}
"""  # noqa: E501


def test_kernels_bytes_and_products_are_read_from_the_program():
    program = Program.parse(HLO)
    take, gemm, adam, negate = program.kernels
    # Five of a hundred rows, their numbers, and the five again.
    assert take.bytes == 5 * 8 * 4 + 5 * 4 + 5 * 8 * 4
    assert gemm.bytes == 2 * (4 * 8 + 8 * 16 + 4 * 16)
    assert (gemm.flops, gemm.precision) == (2 * 4 * 16 * 8, "half")
    assert adam.bytes == negate.bytes == 2 * 5 * 8 * 4
    parts = [report.part_of(kernel) for kernel in program.kernels[:3]]
    assert parts == ["attention core", "dense products", "optimizer"]
    counts = program.counts()
    assert (counts["conditional"], counts["gather"], counts["scatter"]) == (1, 1, 0)


def test_fused_attention_counts_what_its_tiles_take():
    text = """
ENTRY %main (qkv: bf16[4,2,12,96], bias: f32[2,2,12,12], up: bf16[4,2,12,32]) -> bf16[4,2,12,32] {
  %qkv = bf16[4,2,12,96]{3,2,1,0} parameter(0)
  %bias = f32[2,2,12,12]{3,2,1,0} parameter(1)
  %up = bf16[4,2,12,32]{3,2,1,0} parameter(2)
  %out = bf16[4,2,12,32]{3,2,1,0} custom-call(%qkv, %bias), custom_call_target="__gpu$xla.gpu.triton"
  %back = (bf16[4,2,12,96]{3,2,1,0}, f32[1,2,2,12,12]{4,3,2,1,0}) custom-call(%qkv, %bias, %up), custom_call_target="__gpu$xla.gpu.triton"
  ROOT %copy = bf16[4,2,12,32]{3,2,1,0} copy(%out)
}
"""  # noqa: E501
    forward, backward, _ = Program.parse(text).kernels
    tiles = 4 * 2 * 16 * 16 * 32  # 12 tokens take a tile of 16
    assert (forward.flops, backward.flops) == (2 * 2 * tiles, 5 * 2 * tiles)
    qkv, bias, out = 4 * 2 * 12 * 96 * 2, 2 * 2 * 12 * 12 * 4, 4 * 2 * 12 * 32 * 2
    assert forward.bytes == qkv + bias + out
    assert backward.bytes == 2 * qkv + 2 * bias + out


def test_a_roofline_is_the_slower_of_memory_and_products():
    program, gpu = Program.parse(HLO), accelerator("h100")
    numbers = report.summary(program, memory=2e9, batch=8, accelerator=gpu)
    assert numbers["kernels"] == 4
    assert numbers["memory_gb"] == 2
    # So little work is all launches.
    assert numbers["milliseconds"] == pytest.approx(4 * gpu.launch * 1e3, rel=1e-3)
    take = program.kernels[0]
    take.bytes, take.flops = gpu.bandwidth * gpu.reached, gpu.flops["half"] / 2
    assert gpu.seconds(take) == pytest.approx(1 + gpu.launch)
    text = report.as_text(numbers, report.parts(program, gpu))
    assert "| attention core | 1 |" in text
    assert accelerator("h200").seconds(take) < 0.75
    with pytest.raises(UserError, match="h100"):
        accelerator("h1000")


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="the other backends")
def test_a_step_is_compiled_on_jax_only():
    with pytest.raises(UserError, match="KERAS_BACKEND=jax"):
        topology(accelerator("h100"))


def has_compiler():
    return keras.backend.backend() == "jax" and importlib.util.find_spec("jax_plugins")


@pytest.mark.skipif(not has_compiler(), reason="needs the extra gpu-audit, on JAX")
@pytest.mark.parametrize(("change", "recorded"), [(None, 281), ("remat", 353), ("fused", 281)])
def test_kernels_do_not_grow(change, recorded):
    model = get("eesmm")(
        from_preset(TINY_SWIN), seed=0, decoder_dim=16, decoder_num_heads=2, mask_bank_size=4
    )
    if change == "remat":
        assert recompute_blocks(model) == 4
    if change == "fused":
        assert fuse_attention(model) >= 1
    model.compile(LayerDecayAdamW(1e-4))
    compiled = compile_step(model, 8, accelerator("h100"))
    program = Program.parse(compiled.as_text())
    assert 100 < len(program.kernels) <= recorded
    assert program.counts()["conditional"] == 0
    assert memory_of(compiled) > 1e6
    attention = [kernel for kernel in program.kernels if kernel.op_name.endswith("pallas_call")]
    assert bool(attention) == (change == "fused")
    assert all(kernel.flops > 0 for kernel in attention)
