"""Pure: no I/O, no clock, no kopf, no kubernetes. Functions that decide and return values."""
