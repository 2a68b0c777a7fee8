"""Triton's compiler makes machine code of the kernels for a GPU that is not here: its interpreter forgives more."""

import os
import subprocess
import sys

import pytest

import interpreter

pytestmark = pytest.mark.skipif(interpreter.LACKING is not None, reason=str(interpreter.LACKING))

#: Kernels and the types of their arguments: "f" float32, "h" bfloat16, "b" bytes, "i" and "r" numbers, "-" None.
CODE = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from lossary.kernels.fused import row_kernels, vector_kernels

TYPES = {"f": "*fp32", "h": "*bf16", "l": "*i64", "b": "*u8", "i": "i32", "r": "fp32"}

def compiled(kernel, letters, **constants):
    kinds = dict(zip((n for n in kernel.arg_names if n not in constants), letters, strict=True))
    constants |= {name: None for name, letter in kinds.items() if letter == "-"}
    signature = {n: "constexpr" if n in constants else TYPES[kinds[n]] for n in kernel.arg_names}
    places = {(kernel.arg_names.index(n),): value for n, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]

kernels, size = vector_kernels, {"BC": 16, "BD": 32}
compiled(kernels.inverse_norms, "hffiir", **size)
compiled(kernels.inverse_norms, "h-fiir", **size)
compiled(kernels.inverse_norms_of_both, "h-firfffiri", **size)
vectors = ("fhf-hff-h-iirii", True, True), ("fhffhff-hfiirii", False, True), ("fh-----fh-iirii", False, False)
for letters, sets, unit in vectors:
    compiled(kernels.finish_vectors, letters, SETS=sets, UNIT=unit, **size)
kinds = ("nll", "angle linear", "angle easy", "angle plain", "gap focal", "pair")
for kind in kinds:
    compiled(kernels.row_mean, "f-f-bffirrrr", KIND=kind, BLOCK=256)
    compiled(kernels.row_slopes, "f-f-bfff-firrrr", KIND=kind, BLOCK=256)
compiled(kernels.row_mean, "fffffffirrrr", KIND="nll", BLOCK=256)
compiled(kernels.row_slopes, "ffff-fffffirrrr", KIND="nll", BLOCK=256)
kernels = row_kernels
tile = {"DOT": "ieee", "WIDE": False, "BN": 32, "BC": 32, "BD": 32, "OWN": False}
for soft, single, fields in ((False, True, 4), (False, False, 8), (True, True, 2), (True, False, 4)):
    kind = {"SOFT": soft, "SINGLE": single}
    compiled(kernels.row_statistics, "hhfffll---fiiiiiri", FIELDS=fields, **kind, **tile)
    compiled(kernels.merge_statistics, "fffffffiii", FIELDS=fields, BN=256, **kind)
    compiled(kernels.slopes, "hhfffll---ffhfiiiiiri", MEAN=False, **kind, **tile)
compiled(kernels.row_statistics, "hhfff-----fiiiiiri", FIELDS=4, SOFT=False, SINGLE=True, **tile)
compiled(kernels.row_factors, "fff-fffffirr", BN=256)
"""


def test_kernels_compile_for_a_gpu(tmp_path: object) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    run = [sys.executable, "-"]
    done = subprocess.run(run, check=False, input=CODE, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
