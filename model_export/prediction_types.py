"""What a U-Net predicts: the noise ε, or v = α·ε − σ·x₀ (arXiv:2202.00512).

By diffusers' names. Imports nothing heavy: the settings read it.
"""

from __future__ import annotations

EPSILON, V = "epsilon", "v_prediction"
PREDICTION_TYPES = (EPSILON, V)
