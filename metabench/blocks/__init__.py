"""Blocks: layers as searchable components, by name ``cell.lift``. Plug-ins: entry points ``metabench.blocks``."""

from metabench.registry import Registry

__all__ = ["BLOCKS"]

BLOCKS = Registry(
    "block",
    {
        "skip": "metabench.blocks.skip:Skip",
        "mlp.residual": "metabench.blocks.lifts:MLPResidual",
        "mlp.tied": "metabench.blocks.lifts:MLPTied",
        "mlp.deq": "metabench.blocks.lifts:MLPDEQ",
        "mlp.ode": "metabench.blocks.lifts:MLPODE",
        "gated.residual": "metabench.blocks.lifts:GatedResidual",
        "gated.tied": "metabench.blocks.lifts:GatedTied",
        "gated.deq": "metabench.blocks.lifts:GatedDEQ",
        "gated.ode": "metabench.blocks.lifts:GatedODE",
        "mlp.deq-monotone": "metabench.blocks.structured:MLPMonotoneDEQ",
        "mlp.ode-antisymmetric": "metabench.blocks.structured:MLPAntisymmetricODE",
        "qp.box": "metabench.blocks.programs:QPBox",
        "qp.simplex": "metabench.blocks.programs:QPSimplex",
        "gru": "metabench.blocks.recurrent:GRU",
    },
    "metabench.blocks",
)
