"""A small joint space of a few cheap levels, on which whole builds take seconds."""

__all__ = ["TINY_JOINT"]

TINY_JOINT = """id = "tiny-joint"
kind = "joint"
description = "One or two of three blocks, a few levels."
stages = 2
blocks = ["mlp.residual", "mlp.deq", "mlp.ode"]

[hyperparameters]
width = { range = [4, 8], log = true, default = 4 }
learning_rate = { range = [1e-3, 1e-1], log = true, levels = 5, default = 1e-2 }
weight_decay = { range = [1e-3, 1.0], log = true, levels = 4, default = 1e-3 }

[hyperparameters.fixed_point_solver]
choices = ["picard", "anderson"]
default = "picard"
when = { blocks = ["mlp.deq"] }

[hyperparameters.fixed_point_adjoint]
choices = ["implicit", "jfb"]
default = "implicit"
when = { blocks = ["mlp.deq"] }

[hyperparameters.ode_solver]
choices = ["euler", "dopri5"]
default = "euler"
when = { blocks = ["mlp.ode"] }

[hyperparameters.ode_steps]
range = [1, 3]
log = true
default = 1
when = { ode_solver = ["euler"] }

[hyperparameters.ode_adjoint]
choices = ["backprop", "continuous"]
default = "backprop"
when = { blocks = ["mlp.ode"] }

[hyperparameters.tolerance]
range = [1e-3, 1e-1]
log = true
levels = 3
default = 1e-2
when = { blocks = ["mlp.deq"], ode_solver = ["dopri5"] }

[sampling]
seed = 0
samples = 4
tasks = ["spirals-v1"]
batch_size = 25
replicated_every = 2
replicates = 2
"""
"""The text of its definition file."""
