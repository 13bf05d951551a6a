"""Make the builders of hostile files importable; they are shared by two rooms and are no tests themselves."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "hostile"))
