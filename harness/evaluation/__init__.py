"""How a number is made: protocols, the two stages, evidence, calibration, metrics."""
