# fitd in a container: API and worker under one command.
#
#   docker build -t fitd .
#   docker run -p 127.0.0.1:8000:8000 -v fitd-data:/data -e FITD_API_KEY=... fitd
#
# docs/how-to/run-in-docker.md says more: a GPU, compose, what a key is needed for.

ARG PYTHON=3.12

# First stage: a virtual environment with everything, and nothing of what it took to make it.
FROM python:${PYTHON}-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The environment has no pip of its own: the build stage's pip installs into it.
RUN python -m venv --without-pip /opt/fitd

# Only pinned versions whose hashes are known.
COPY constraints/runtime.txt constraints/
RUN pip --python /opt/fitd/bin/python install --require-hashes --no-deps -r constraints/runtime.txt

# torch is the reader's choice: its build, and the package index that it comes from.
# A plain version takes the CPU build where the index carries one, else the platform's default build.
# A version with a local part, such as torch==2.13.0+cu130, takes exactly this build.
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=
RUN install() { pip --python /opt/fitd/bin/python install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$1"; }; \
    case "$TORCH" in \
      *+*) install "$TORCH" ;; \
      *)   install "$TORCH+cpu" \
           || { echo "No CPU build of $TORCH here: taking the default build, which may be large." >&2; \
                install "$TORCH"; } ;; \
    esac

# The build backend stays in this stage; its pins are among those for development.
COPY constraints/dev.txt constraints/
RUN awk '/^[^ #]/ { keep = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/ } keep' \
      constraints/dev.txt > constraints/build.txt \
 && pip install --require-hashes --no-deps -r constraints/build.txt

COPY pyproject.toml README.md ./
COPY alembic/ alembic/
COPY service/ service/
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/fitd/bin/python install --no-deps --no-index /wheels/*.whl \
 && pip --python /opt/fitd/bin/python check \
 && /opt/fitd/bin/python -m compileall -q /opt/fitd/lib/python*/site-packages/service

# Second stage: what runs.
FROM python:${PYTHON}-slim

RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin fitd \
 && mkdir /data \
 && chown fitd:fitd /data
COPY --from=build /opt/fitd /opt/fitd

ENV PATH=/opt/fitd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    FITD_DATA_DIR=/data \
    FITD_PORT=8000
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

# Only whether the process answers: a service that is still warming up is healthy. GET /readyz says when jobs start.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['FITD_PORT'] + '/healthz', timeout=4)"]

# Inside a container only 0.0.0.0 can be reached from outside, and that needs FITD_API_KEY: without it fitd refuses to start.
CMD ["fitd", "serve", "--host", "0.0.0.0"]
