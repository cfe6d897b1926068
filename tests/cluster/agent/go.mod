module appconnectivity.io/tests/agent

go 1.26.0
