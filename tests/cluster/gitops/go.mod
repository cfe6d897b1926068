// No code: modules among whose files are the CRDs of Argo CD and Flux. They are only read, never built.
module appconnectivity.io/tests/gitops

go 1.26.0

require (
	github.com/argoproj/argo-cd/v3 v3.5.7
	github.com/fluxcd/kustomize-controller v1.9.6
	github.com/fluxcd/source-controller v1.9.6
)
