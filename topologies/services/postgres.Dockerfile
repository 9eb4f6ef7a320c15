# Debian's PostgreSQL for postgres.yaml. BASE is any image of Debian, for example halab's own:
#   docker build --network host --build-arg BASE=debian:trixie-slim -t shop/postgres:1 \
#       - < topologies/services/postgres.Dockerfile
ARG BASE
FROM ${BASE}
RUN mkdir -p /etc/postgresql-common \
 && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql \
 && rm -rf /var/lib/apt/lists/* && ln -s /usr/lib/postgresql/*/bin /pg
STOPSIGNAL SIGINT
ENTRYPOINT []
