"""The CRD and the Python types say the same, and a real API server agrees with both."""
