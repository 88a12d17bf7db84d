"""Lets the tests here import the helpers beside them; some package of site-packages is called ``tests`` too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
