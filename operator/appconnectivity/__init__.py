"""AppConnectivity: says who talks to whom, and keeps the NetworkPolicies that make exactly this true."""

__version__ = "0.1.0"
