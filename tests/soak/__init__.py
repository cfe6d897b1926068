"""Random changes to a cluster for a long time, and again and again a look at whether all is as it should be."""
