# A bare machine: Debian with systemd as its first process, and what a release needs.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update -qq && apt-get install -qq --no-install-recommends systemd git make procps python3 python3-venv > /dev/null \
    && systemctl mask systemd-networkd-wait-online.service
CMD ["/lib/systemd/systemd"]
