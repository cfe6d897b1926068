"""Measurements, as ratios within one run: the machine counts on both sides."""
