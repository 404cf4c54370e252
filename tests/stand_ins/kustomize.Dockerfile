# kustomize, as Debian has it.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update -qq && apt-get install -qq --no-install-recommends kustomize > /dev/null
USER 65532
ENTRYPOINT ["kustomize"]
