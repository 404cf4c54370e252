# What docker.io/library/caddy is, as far as the tests go; the build's folder has the program.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update -qq && apt-get install -qq --no-install-recommends libcap2-bin > /dev/null && mkdir /config /data
COPY caddy /usr/bin/caddy
RUN setcap cap_net_bind_service=+ep /usr/bin/caddy
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
WORKDIR /srv
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
