"""The register geometry: how wide the processor's vector registers are, and how many of them there are.

It decides the size of a register tile (see `tile`) and the width of a panel (see `layout`); nothing else in the package
depends on the processor. It is data: LLVM splits vectors that are wider than the processor's own, so that every
geometry runs on every processor and gives the same results to rounding, only not at the same speed. The host's own is
the default. The environment variable FASTLAZY_REGISTERS, read at import, forces another, as the tests do.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import llvmlite.binding as llvm
import numba

VARIABLE = "FASTLAZY_REGISTERS"
WIDE, NARROW = 3, 2  # vectors in a row of a panel: wide ones pass over X less often, narrow ones pad less


class Geometry(NamedTuple):
    """Vector registers of a processor."""

    register_bytes: int
    registers: int

    @property
    def height(self) -> int:
        """Rows of a tile: height * WIDE sums, WIDE columns and one broadcast number fit in the registers."""
        return 8 if self.registers == 32 else 4

    def __str__(self) -> str:
        return f"{self.register_bytes}x{self.registers}"


AVX512, AVX2, NEON, SSE = Geometry(64, 32), Geometry(32, 16), Geometry(16, 32), Geometry(16, 16)
GEOMETRIES = {str(geometry): geometry for geometry in (AVX512, AVX2, NEON, SSE)}


def processor_features() -> set[str]:
    """Features of the processor that numba compiles for, as LLVM writes them ("+avx2")."""
    flags = numba.config.CPU_FEATURES
    if flags is None:
        flags = llvm.get_host_cpu_features().flatten()
    return set(flags.split(","))


def host_geometry() -> Geometry:
    """The geometry of the processor that numba compiles for."""
    features = processor_features()
    if "+avx512f" in features:
        return AVX512
    if {"+avx2", "+fma"} <= features:
        return AVX2
    if llvm.get_process_triple().startswith(("aarch64", "arm64")):
        return NEON
    return SSE


def chosen_geometry() -> Geometry:
    """The geometry that FASTLAZY_REGISTERS names, or the host's.

    Raises
    ------
    ValueError
        If the variable names none.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return host_geometry()
    if name not in GEOMETRIES:
        raise ValueError(
            f"the environment variable {VARIABLE} is {name!r}, which is no register geometry; set it to one of "
            f"{', '.join(GEOMETRIES)} (bytes of a vector register x registers), or unset it for this processor's own, "
            f"{host_geometry()}"
        )
    return GEOMETRIES[name]


CPU = numba.config.CPU_NAME or llvm.get_host_cpu_name()
GEOMETRY = chosen_geometry()
REGISTER_BYTES, HEIGHT = GEOMETRY.register_bytes, GEOMETRY.height
