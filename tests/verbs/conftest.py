"""Make the small network and the pictures of the job's own tests importable here too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "video")]
