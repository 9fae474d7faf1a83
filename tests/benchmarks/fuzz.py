"""Many inputs through every reader and parser, and how many were read and refused.

python tests/benchmarks/fuzz.py [inputs of each]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzzing import TARGETS, fuzz


def main(count: int) -> None:
    """Print a line for each target; what raises anything else ends it, with the input."""
    print(f"{'reader':<32} {'inputs':>8} {'read':>8} {'refused':>8} {'seconds':>8}")
    for name in TARGETS:
        began = time.perf_counter()
        read, refused = fuzz(name, count)
        seconds = time.perf_counter() - began
        print(f"{name:<32} {read + refused:8,} {read:8,} {refused:8,} {seconds:8.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
