# What docker.io/library/redis is, as far as the tests go.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update -qq && apt-get install -qq --no-install-recommends redis-server > /dev/null && mkdir /data && chown redis /data
VOLUME /data
WORKDIR /data
CMD ["redis-server"]
