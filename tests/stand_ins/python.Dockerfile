# What python:3.13-slim is like: Debian, Python with pip, no byte code of the standard library, which upstream deletes, and
# nothing of apt, which upstream's Debian cleans up after itself.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends ca-certificates python3 python3-pip > /dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/lib/python3*/EXTERNALLY-MANAGED && ln -s python3 /usr/bin/python \
    && find /usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +
