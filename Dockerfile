# The webhook receiver, with everything that a deploy calls: git, ssh, make, and Docker's client with Compose.
#
#   docker build --tag deployer .
#
# pip's index is the builder's own affair: --secret id=pip.conf,src=FILE is read as /etc/pip.conf, --secret id=ca.pem,src=FILE
# lies at /run/secrets/ca.pem for its `cert`, and --build-arg PIP_INDEX_URL=… is passed on for that one step.
ARG BASE=python:3.13-slim-trixie

# hadolint ignore=DL3006  # the tag is in the argument
FROM ${BASE} AS builder
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_CERT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# Locks alone first: a change of our own code does not fetch everything again.
COPY requirements/receiver.txt requirements/build.txt requirements/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    python3 -m venv tools \
    && python3 -m venv --without-pip /opt/deployer \
    && tools/bin/pip install --quiet --require-hashes --only-binary=:all: --requirement requirements/build.txt \
    && tools/bin/pip --python /opt/deployer/bin/python install --quiet --require-hashes --only-binary=:all: \
        --requirement requirements/receiver.txt
COPY pyproject.toml README.md LICENSE ./
COPY deployer deployer
COPY receiver receiver
RUN tools/bin/python -m hatchling build --target wheel --directory dist \
    && tools/bin/pip --python /opt/deployer/bin/python install --quiet --no-deps --no-index dist/*.whl

# hadolint ignore=DL3006
FROM ${BASE}
# What builds call beside these is yours to add: --build-arg PACKAGES="docker-buildx hugo". Debian 13 is the first release with
# a package of Docker's client alone, and Compose as its plugin; without both (DOCKER="") an image deploys over SSH only.
ARG DOCKER="docker-cli docker-compose"
ARG PACKAGES=""
# hadolint ignore=DL3008,SC2086  # Debian's security updates are wanted; the arguments are lists
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends --yes \
        ca-certificates git make openssh-client tini $DOCKER $PACKAGES >/dev/null \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/apt /var/log/*.log \
    && groupadd --gid 10001 deployer \
    && useradd --uid 10001 --gid deployer --home-dir /var/lib/deployer --no-create-home --shell /bin/sh deployer \
    && install --directory --owner=deployer --group=deployer --mode=700 /var/lib/deployer
COPY --from=builder /opt/deployer /opt/deployer
ENV PATH=/opt/deployer/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONUNBUFFERED=1

LABEL org.opencontainers.image.title="deployer" \
    org.opencontainers.image.description="Webhook receiver that deploys to the servers you own" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.documentation="docs/receiver.md"
USER 10001:10001
WORKDIR /var/lib/deployer
VOLUME /var/lib/deployer
EXPOSE 9000
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python3", "-I", "-c", "import http.client as web; ask = web.HTTPConnection('127.0.0.1', 9000, timeout=8); ask.request('GET', '/health'); raise SystemExit(ask.getresponse().status != 200)"]
# PID 1 inherits what a killed build leaves behind. tini clears it away and hands every signal on, for `worker` alone as for `run`.
ENTRYPOINT ["tini", "--", "receiver"]
CMD ["run"]
