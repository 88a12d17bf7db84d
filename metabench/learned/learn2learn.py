"""The one door to learn2learn, an optional peer whose own import needs help.

On import learn2learn 0.2.0 imports its ``vision`` part, and that needs torchvision, which would replace torch by a
build of several GB. An empty module entered under that name is enough for ``algorithms`` and ``optim``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
from types import ModuleType

from metabench.errors import OptionalDependencyError

__all__ = ["load"]

_INSTALL = (
    'pip install "gym==0.26.2" requests tqdm && pip install --no-deps --use-pep517 '
    "--config-settings=--build-option=build_ext learn2learn==0.2.0"
)


def load() -> ModuleType:
    """Imports learn2learn with its ``vision`` part left empty.

    Returns:
        The module ``learn2learn``, with ``algorithms`` and ``optim`` ready to use.

    Raises:
        OptionalDependencyError: if learn2learn, or a package that it needs, is not installed.

    Reference:
        Arnold, Mahajan, Datta, Bunner and Zarkias, "learn2learn: A Library for Meta-Learning Research", 2020,
        arXiv:2008.12284.
    """
    loaded = sys.modules.get("learn2learn")
    if loaded is not None:
        return loaded
    if importlib.util.find_spec("learn2learn") is None:
        raise OptionalDependencyError(f"learn2learn is not installed; install it with: {_INSTALL}")
    vision = "learn2learn.vision"
    sys.modules.setdefault(vision, ModuleType(vision, "Left empty by metabench: it needs torchvision."))
    try:
        # Its gym 0.26 prints a notice on stderr that gym is unmaintained; nothing here uses gym.
        with contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module("learn2learn")
    except ImportError as error:
        for name in [name for name in sys.modules if name.partition(".")[0] == "learn2learn"]:
            del sys.modules[name]
        raise OptionalDependencyError(
            f"learn2learn is installed but cannot be imported ({error}); install it again with: {_INSTALL}"
        ) from error
