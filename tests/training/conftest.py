"""Make the small networks of this folder's tests importable here, and in what they start."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
