"""Accelerators that a step can be compiled for, and what they can do at best."""

from dataclasses import dataclass

from eesmm_keras.errors import UserError
from eesmm_keras.names import unknown_name

# Both are the same chip beside different memory (NVIDIA's data sheets of the SXM modules).
_HOPPER = """
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth:.0f}
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: {memory:.0f}
  shared_memory_per_block_optin: 232448
  cuda_compute_capability {{ major: 9 }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 }}
runtime_version {{ major: 12 minor: 9 }}
device_description_str: "{description}"
"""


@dataclass(frozen=True)
class Accelerator:
    """What a roofline needs to know of a device.

    Attributes:
        description: its name. memory: bytes.
        bandwidth: bytes a second of its memory, as the data sheet says.
        reached: share of the bandwidth that long kernels reach in practice.
        flops: operations a second that large products reach in practice, by precision; a
            multiply-accumulate is two. peak: what the data sheet says of them.
        launch: seconds that a kernel costs beside its work.
    """

    description: str
    memory: float
    bandwidth: float
    reached: float
    flops: dict
    peak: dict
    launch: float = 2e-6

    @property
    def target(self):
        """The device as XLA describes it, a text proto of `GpuTargetConfigProto`."""
        return _HOPPER.format(
            bandwidth=self.bandwidth, memory=self.memory, description=self.description
        )

    def seconds(self, kernel):
        """Least time of a kernel: of its bytes or its operations, and its launch."""
        moved = kernel.bytes / (self.bandwidth * self.reached)
        return max(moved, kernel.flops / self.flops[kernel.precision]) + self.launch


_FLOPS = {"half": 650e12, "single": 400e12}
_PEAK = {"half": 989e12, "single": 494e12}
ACCELERATORS = {
    "h100": Accelerator("NVIDIA H100 80GB HBM3", 84.9e9, 3.352e12, 0.9, _FLOPS, _PEAK),
    "h200": Accelerator("NVIDIA H200", 150.7e9, 4.8e12, 0.9, _FLOPS, _PEAK),
}


def accelerator(name):
    """The `Accelerator` of this name.

    Raises:
        UserError: an unknown one.
    """
    if name not in ACCELERATORS:
        raise UserError(unknown_name("accelerator", name, ACCELERATORS))
    return ACCELERATORS[name]
