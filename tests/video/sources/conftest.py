"""Make clips.py importable: it writes the small clips that the tests read."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
