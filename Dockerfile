# syntax=docker/dockerfile:1
# For a release that is to be rebuilt bit by bit, pin the base by digest: --build-arg PYTHON=python:3.13-slim@sha256:...
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# The dependencies come first and alone: as long as they do not change, this layer stays.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/appconnectivity
RUN python -m pip --python /opt/appconnectivity/bin/python install --require-hashes --only-binary :all: -r requirements/run.txt
RUN python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator/appconnectivity operator/appconnectivity
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .
RUN python -m pip --python /opt/appconnectivity/bin/python install --no-deps --no-index --find-links /wheels appconnectivity

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="appconnectivity" \
      org.opencontainers.image.description="Kubernetes operator: who talks to whom, kept as NetworkPolicies" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /opt/appconnectivity /opt/appconnectivity
ENV PATH="/opt/appconnectivity/bin:${PATH}"
# Never the source's root: a folder named operator beside the program would look like Python's own module of that name.
WORKDIR /tmp
# By number, so that runAsNonRoot can be checked before the container starts.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["appconnectivity"]
CMD ["run"]
