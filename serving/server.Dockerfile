# syntax=docker/dockerfile:1
# TensorFlow Serving with the model of a preset inside; see serving/README.md.

ARG SERVING=tensorflow/serving:2.21.0

FROM python:3.12-slim AS export
# hadolint ignore=DL3042
RUN --mount=type=bind,target=/project,rw --mount=type=cache,target=/root/.cache/pip \
    grep -oE '^[A-Za-z0-9._-]+==[^\\]+' /project/requirements.lock > /tmp/constraints.txt \
    && pip install --constraint /tmp/constraints.txt /project
ARG PRESET=cstm_davis
RUN keras-vas export --workdir="$PRESET" --output=/models/cstm

# hadolint ignore=DL3006
FROM ${SERVING}
COPY serving/models.config serving/monitoring.config serving/batching_parameters.txt /config/
COPY --from=export /models /models
USER 65534:65534
CMD ["--model_config_file=/config/models.config", \
     "--monitoring_config_file=/config/monitoring.config", \
     "--rest_api_timeout_in_ms=120000"]
