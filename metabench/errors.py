"""One error tree: every message says what was wrong, what was expected and what to do."""

__all__ = [
    "ArchitectureError",
    "ArgumentError",
    "CheckpointError",
    "ConformanceError",
    "ContentError",
    "DefinitionError",
    "DifferentiationError",
    "DivergedError",
    "GradientError",
    "MetabenchError",
    "MissingResultError",
    "OptionalDependencyError",
    "QueryError",
    "ResetNeededError",
    "RunFolderError",
    "SearcherError",
    "SolverError",
    "TableError",
    "UnknownNameError",
]


class MetabenchError(Exception):
    """Base of every error that metabench raises on purpose. The command line turns it into one line and exit code 2."""


class ArgumentError(MetabenchError, ValueError):
    """An argument has the wrong type, shape or value."""


class ConformanceError(MetabenchError, AssertionError):
    """A component breaks the contract of its kind; raised by the kits of ``metabench.testing``."""


class UnknownNameError(MetabenchError, LookupError):
    """A name is not in a registry."""


class ContentError(MetabenchError, FileNotFoundError):
    """A definition or data file is not there or cannot be read."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DefinitionError(MetabenchError, ValueError):
    """A definition file is malformed; the message names file, line and key."""


class ArchitectureError(MetabenchError, ValueError):
    """An architecture does not belong to the space."""


class QueryError(MetabenchError, ValueError):
    """A query asks for an epoch, seed or metric that the benchmark does not have."""


class MissingResultError(QueryError):
    """The cell asked for has not been measured yet."""


class TableError(MetabenchError):
    """A table is corrupted, truncated, incomplete or of a newer schema."""


class RunFolderError(MetabenchError):
    """A run folder belongs to another space, version or plan."""


class SearcherError(MetabenchError, RuntimeError):
    """A searcher broke the rules of ``ask`` and ``tell``."""


class CheckpointError(MetabenchError):
    """A checkpoint is damaged, or belongs to another agent, environment or plan."""


class DivergedError(MetabenchError, ArithmeticError):
    """A training became non-finite; the message says where, and what its last good checkpoint is."""


class SolverError(MetabenchError, ArithmeticError):
    """A solve did not converge and the policy is to raise."""


class DifferentiationError(MetabenchError, RuntimeError):
    """A derivative was asked for that the layer does not give; it raises rather than be wrong."""


class ResetNeededError(MetabenchError, RuntimeError):
    """An environment is stepped or looked into before a trial was begun."""


class GradientError(MetabenchError, ArithmeticError):
    """A gradient that an optimizer was given is not finite and the setting is to raise."""


class OptionalDependencyError(MetabenchError, ImportError):
    """An optional package is not installed; the message says how to get it."""
