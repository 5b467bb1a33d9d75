"""Is what the product says true as often as it says? Simulated experiments through its own estimators, as arrays.

`python -m scripts.calibration` writes docs/calibration.md. population.py draws profiles, experiment.py takes them
through the product; each other module is one section of the report.
"""
