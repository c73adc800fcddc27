"""What the Pulumi CLI runs for `--policy-pack policy/crossguard`: it serves until it is ended."""

from __future__ import annotations

import sys
from pathlib import Path

from pulumi_policy import PolicyPack

# The CLI starts it in this folder, and the rules are a package of the checkout.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policy.crossguard.pack import policies

PolicyPack("diffusion-serving", policies=policies())
