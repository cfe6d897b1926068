"""The loop: what is queued, in which order it is reconciled, and how the operator watches over itself."""
