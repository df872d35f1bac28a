"""What a compiled step does, in numbers and by part."""

import re
from collections import defaultdict

# Name of a kernel's place in the program -> the part that it belongs to; the first match wins.
_PARTS = (
    ("optimizer", r"adam|optimizer"),
    ("finite check", r"^(?!.*jvp).*(square|reduce_sum|is_finite|concatenate|reduce_and)$"),
    ("GELU", r"gelu|/mlp/\w+$|/expand/(erf|erfc|mul|add_any|add|exp)$"),
    ("layer normalisation", r"norm"),
    (
        "dense layers beside their products",
        r"/(qkv|projection|expand|contract|reduction|embed|head)/",
    ),
    ("attention core", r"attention|decoder\)*/block"),
)
_PRODUCT = re.compile(r"/(qkv|projection|expand|contract|reduction|embed|head|dense_\d)/")


def part_of(kernel):
    """Name of the part of a step that a kernel belongs to."""
    if kernel.flops and _PRODUCT.search(kernel.op_name):
        return "dense products"
    for part, pattern in _PARTS:
        if re.search(pattern, kernel.op_name):
            return part
    return "pixels, masks, loss and the rest"


def summary(program, memory, batch, accelerator):
    """Numbers of a step.

    Args:
        program: `Program` of the compiled step. memory: bytes that it takes at its peak.
        batch: images in a step. accelerator: `Accelerator`.

    Returns:
        dict: `kernels`, `small_kernels` (that move less than 1 MB), `gigabytes` moved, `teraflops`
        of products, `memory_gb`, `milliseconds` and `images_per_s` at best, `mfu`, the share of the
        data sheet's peak that the products then reach; and the counts of some instructions.
    """
    kernels = program.kernels
    seconds = sum(map(accelerator.seconds, kernels))
    flops = sum(kernel.flops for kernel in kernels)
    work = {p: sum(k.flops for k in kernels if k.precision == p) for p in accelerator.peak}
    return {
        "kernels": len(kernels),
        "small_kernels": sum(kernel.bytes < 1e6 for kernel in kernels),
        "gigabytes": sum(kernel.bytes for kernel in kernels) / 1e9,
        "teraflops": flops / 1e12,
        "memory_gb": memory / 1e9,
        "milliseconds": seconds * 1e3,
        "images_per_s": batch / seconds,
        "mfu": sum(n / accelerator.peak[p] for p, n in work.items()) / seconds,
        **program.counts(),
    }


def parts(program, accelerator):
    """`{part: (kernels, gigabytes, milliseconds)}`, the slowest first."""
    found = defaultdict(lambda: [0, 0.0, 0.0])
    for kernel in program.kernels:
        part = found[part_of(kernel)]
        part[0] += 1
        part[1] += kernel.bytes / 1e9
        part[2] += accelerator.seconds(kernel) * 1e3
    return dict(sorted(found.items(), key=lambda item: -item[1][2]))


def as_text(numbers, by_part):
    """Both tables, in Markdown."""
    lines = ["| number | value |", "|---|---|"]
    lines += [f"| {name} | {value:,.4g} |" if isinstance(value, float) else f"| {name} | {value} |"
              for name, value in numbers.items()]  # fmt: skip
    lines += ["", "| part | kernels | GB | ms at best |", "|---|---|---|---|"]
    lines += [
        f"| {part} | {count} | {moved:.2f} | {time:.2f} |"
        for part, (count, moved, time) in by_part.items()
    ]
    return "\n".join(lines)
