"""Kernels of a compiled program, read from XLA's text of it.

A kernel is an instruction of the entry computation, or of one that it calls, branches to or loops
over, that runs something on the device. Its bytes are those of its operands and results, each once;
of an operand that is only gathered or sliced, what is taken of it.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

_BITS = {"pred": 8, "s4": 4, "u4": 4, "c64": 64, "c128": 128, "token": 0, "bf16": 16}
# They name memory or wait; nothing runs.
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id",
    "replica-id", "opt-barrier", "copy-done", "async-done", "all-reduce-done", "domain",
}  # fmt: skip
# The target of what Triton compiled; in a step of ours that is fused attention.
_TRITON = "__gpu$xla.gpu.triton"
_INTO = {"while", "conditional", "call", "async-start"}
_INSTRUCTION = re.compile(r"\s*(ROOT )?%?([\w.\-]+) = (.*)")
_OPCODE = re.compile(r"\s*([a-z][\w\-]*)\((.*)")
_ARRAY = re.compile(r"([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_COUNTED = ("conditional", "gather", "scatter", "pad", "convert", "while", "custom-call")


@dataclass
class Instruction:
    """One line of a computation: `name = shape opcode(operands), rest`."""

    name: str
    shape: str
    opcode: str
    operands: list
    rest: str
    root: bool = False

    @property
    def op_name(self):
        """Where in the program it comes from: scopes, separated by slashes."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""

    @property
    def dims(self):
        """Of its (first) array."""
        found = _ARRAY.search(self.shape)
        return [int(n) for n in found[2].split(",") if n] if found else []

    def called(self, key=r"\w+"):
        """Names of computations in `key=%name` or `key={%name, ...}`."""
        lists = re.findall(rf"\b{key}=\{{(%[^}}]*)\}}", self.rest)
        single = re.findall(rf"\b{key}=%([\w.\-]+)", self.rest)
        return single + [name.strip(" %") for text in lists for name in text.split(",")]


@dataclass
class Kernel:
    """Attributes: name, opcode and op_name of its instruction, bytes moved, operations (flops; a
    multiply-accumulate is two) and the precision of its products, "half" or "single"."""

    name: str
    opcode: str
    op_name: str
    bytes: float
    flops: float
    precision: str


@dataclass
class Program:
    """Computations of a module by name, each a dict of `Instruction` by name."""

    computations: dict = field(default_factory=dict)
    entry: str = ""

    @classmethod
    def parse(cls, text):
        program, current = cls(), None
        for line in text.splitlines():
            if line.endswith("{") and ("->" in line) and not line.startswith(" "):
                name = re.match(r"(?:ENTRY )?%?([\w.\-]+)", line)[1]
                current = program.computations[name] = {}
                program.entry = name if line.startswith("ENTRY") else program.entry
            elif line.startswith("}"):
                current = None
            elif current is not None and (found := _INSTRUCTION.match(line)):
                instruction = _instruction(found[2], found[3], bool(found[1]))
                if instruction:
                    current[instruction.name] = instruction
        return program

    @cached_property
    def kernels(self):
        """All `Kernel`s of a run, each as often as it stands in the text (a loop's body once)."""
        return list(self._kernels(self.entry))

    def _kernels(self, name):
        computation = self.computations[name]
        for instruction in computation.values():
            if instruction.opcode in _INTO:
                for inner in instruction.called("(?:body|to_apply|calls|branch_computations)"):
                    yield from self._kernels(inner)
            elif instruction.opcode not in _FREE:
                flops, precision = self._flops(instruction, computation)
                yield Kernel(
                    instruction.name, instruction.opcode, instruction.op_name,
                    self._bytes(instruction, computation), flops, precision,
                )  # fmt: skip

    def counts(self):
        """How many instructions of some kinds there are, those inside of fused kernels too."""
        found = Counter(
            instruction.opcode
            for computation in self.computations.values()
            for instruction in computation.values()
        )
        return {kind: found[kind] for kind in _COUNTED}

    def _bytes(self, instruction, computation):
        shapes = [computation[o].shape for o in instruction.operands if o in computation]
        if instruction.opcode == "fusion":
            inner = self.computations[instruction.called("calls")[0]]
            root = next(i for i in inner.values() if i.root)
            parameters = sorted(
                (i for i in inner.values() if i.opcode == "parameter"),
                key=lambda i: int(i.operands[0]),
            )
            read = sum(_read(p, inner, root) for p in parameters)
            return read + _written(root, inner, instruction.shape)
        if instruction.opcode in ("gather", "dynamic-slice", "slice"):
            return 2 * size_of(instruction.shape)
        triton = _TRITON in instruction.rest
        if instruction.opcode == "custom-call" and instruction.shape.startswith("(") and not triton:
            # cuBLAS: the result and a workspace that counts for nothing.
            return sum(map(size_of, shapes)) + size_of(instruction.shape.split("]")[0] + "]")
        return sum(map(size_of, shapes)) + size_of(instruction.shape)

    def _flops(self, instruction, computation):
        if instruction.opcode in ("dot", "convolution"):
            return _dot(instruction, computation)
        if instruction.opcode == "custom-call" and "cublas" in instruction.rest:
            return _dot(instruction, computation)
        if instruction.opcode == "custom-call" and _TRITON in instruction.rest:
            return _fused_attention(instruction, computation), "half"
        if instruction.opcode == "fusion":
            inner = self.computations[instruction.called("calls")[0]]
            found = [self._flops(i, inner) for i in inner.values()]
            precise = any(p == "single" for n, p in found if n)
            return sum(n for n, _ in found), "single" if precise else "half"
        return 0, "half"


def size_of(shape):
    """Bytes of an array or of all arrays of a tuple."""
    total = 0
    for kind, dims in _ARRAY.findall(shape):
        bits = _BITS.get(kind) or int(re.search(r"\d+", kind)[0])
        total += bits * math.prod(int(n) for n in dims.split(",") if n) / 8
    return total


def _instruction(name, text, root):
    """Parse `shape opcode(operands), rest`; a tuple's shape stands in parentheses."""
    end = _first_outside(text, " ")
    found = _OPCODE.match(text[end:])
    if not found:
        return None
    inside = found[2]
    stop = _first_outside(inside, ")")
    operands = re.findall(r"%([\w.\-]+)", inside[:stop])
    if found[1] in ("parameter", "constant"):
        operands = [inside[:stop]]
    return Instruction(name, text[:end], found[1], operands, inside[stop + 1 :], root)


def _first_outside(text, wanted):
    """Where a letter stands first that is not within parentheses."""
    depth = 0
    for place, letter in enumerate(text):
        if letter == wanted and depth == 0:
            return place
        depth += (letter in "({[") - (letter in ")}]")
    return len(text)


def _fused_attention(instruction, computation):
    """Operations of a kernel of `ops.fused_attention`, by the tiles that it computes."""
    batch, sets, size, width = computation[instruction.operands[0]].dims
    tile = max(16, 1 << (size - 1).bit_length())
    # The scores and the sum of the values; on the way back the scores again, and four gradients.
    products = 5 if instruction.shape.startswith("(") else 2
    return products * 2 * batch * sets * tile * tile * width / 3


def _users(name, computation):
    return [i for i in computation.values() if name in i.operands]


def _read(parameter, computation, root):
    """Bytes that a fusion reads of a parameter."""
    users = _users(parameter.name, computation)
    if not users:
        return 0
    whole, read = size_of(parameter.shape), 0
    for user in users:
        first = user.operands[0] == parameter.name
        if user.opcode in ("gather", "dynamic-slice", "slice") and first:
            read += size_of(user.shape)
        elif user.opcode in ("dynamic-update-slice", "scatter") and first and user is root:
            continue
        elif user.opcode == "bitcast":
            read += min(whole, _read(user, computation, root))
        else:
            return whole
    return min(whole, read)


def _written(root, computation, shape):
    """Bytes that a fusion writes; an update in place writes the update alone."""
    if root.opcode == "dynamic-update-slice" and root.operands[1] in computation:
        return size_of(computation[root.operands[1]].shape)
    return size_of(shape)


def _dot(instruction, computation):
    """`(operations, precision)` of a product, of cuBLAS too."""
    left = computation.get(instruction.operands[0])
    if left is None:
        return 0, "half"
    contracted = re.search(r'lhs_contracting_dim(?:ension)?s"?[=:][\[{]([^\]}]*)', instruction.rest)
    axes = [int(n) for n in re.findall(r"\d+", contracted[1])] if contracted else []
    along = math.prod(left.dims[axis] for axis in axes)
    precision = "half" if re.match(r"\(?(bf16|f16|f8)", left.shape) else "single"
    return 2 * math.prod(instruction.dims) * along, precision
