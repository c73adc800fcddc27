"""The policy pack's server, run by the Pulumi CLI for `--policy-pack policy/crossguard`."""

from __future__ import annotations

import sys
from pathlib import Path

from pulumi_policy import PolicyPack

# The CLI starts it in this folder; the rules are in the checkout's root.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from policy.crossguard.pack import policies

PolicyPack("diffusion-serving", policies=policies())
