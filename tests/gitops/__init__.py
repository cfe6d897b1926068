"""What GitOps tools make of the operator's statuses: Argo CD by health.lua, Flux by the rules of kstatus."""
