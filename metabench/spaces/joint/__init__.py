"""Joint spaces: an architecture together with how it is trained and how its implicit blocks are solved."""

from metabench.spaces.joint.architecture import JointArchitecture
from metabench.spaces.joint.definition import JointDefinition, Sampling, read_joint_definition
from metabench.spaces.joint.hyperparameter import Hyperparameter
from metabench.spaces.joint.space import JointSpace

__all__ = [
    "Hyperparameter",
    "JointArchitecture",
    "JointDefinition",
    "JointSpace",
    "Sampling",
    "read_joint_definition",
]
