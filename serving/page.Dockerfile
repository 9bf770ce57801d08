# syntax=docker/dockerfile:1
# The page with the model of a preset; see serving/README.md.

FROM python:3.12-slim
# hadolint ignore=DL3042
RUN --mount=type=bind,target=/project,rw --mount=type=cache,target=/root/.cache/pip \
    grep -oE '^[A-Za-z0-9._-]+==[^\\]+' /project/requirements.lock > /tmp/constraints.txt \
    && pip install --constraint /tmp/constraints.txt '/project[app]' \
    && useradd --uid 1000 --create-home visitor
USER 1000:1000
WORKDIR /home/visitor
ARG PRESET=cstm_davis
ENV PRESET=${PRESET}
# What the preset needs is downloaded now, not at the start.
RUN python -c "import keras_vas, os; keras_vas.load(os.environ['PRESET'])"
EXPOSE 7860
HEALTHCHECK --start-period=120s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860')"]
CMD ["sh", "-c", "exec keras-vas app --model=\"$PRESET\" --host=0.0.0.0"]
