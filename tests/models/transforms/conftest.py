"""Make the small networks of this folder importable: they are factories that a state dict names."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
