"""The main job, shown on an embedded control plane."""
