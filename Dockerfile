# The images of Muster, a target each: control-plane (the replica, and the muster command), host (the host agent, with the
# DuckDB worker that it starts), duckdb-worker (by itself, for pods), nats, front-door, certificates.
#
# Nothing is compiled: Node runs the TypeScript as it is. The dependencies are those of package-lock.json, production
# only, for the workspaces of that image. Every image runs as uid 1000 on a read-only root file system, and has no package
# manager of Node. The base images are arguments; nothing here needs BuildKit.
ARG NODE_IMAGE=node:24-bookworm-slim
ARG DEBIAN_IMAGE=debian:bookworm-slim
ARG NATS_IMAGE=nats:2

# The manifests by themselves, so that a changed source does not install anything anew; without what only tests need.
FROM ${NODE_IMAGE} AS manifests
WORKDIR /opt/muster
COPY package.json package-lock.json ./
COPY packages packages
COPY services services
RUN find packages services -type f ! -name package.json ! -path '*/bin/*' -delete \
  && npm pkg delete devDependencies --workspaces --include-workspace-root

FROM ${NODE_IMAGE} AS control-plane-dependencies
WORKDIR /opt/muster
COPY --from=manifests /opt/muster ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --workspace @muster/control-plane --workspace @muster/cli

FROM ${NODE_IMAGE} AS host-dependencies
WORKDIR /opt/muster
COPY --from=manifests /opt/muster ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --workspace @muster/host --workspace @muster/duckdb-worker

FROM ${NODE_IMAGE} AS duckdb-worker-dependencies
WORKDIR /opt/muster
COPY --from=manifests /opt/muster ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --workspace @muster/duckdb-worker

# Node without its package managers, a folder for what is mounted, and the sources.
FROM ${NODE_IMAGE} AS runtime
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn* \
  && install -d -o 1000 -g 1000 -m 0700 /run/muster /var/lib/muster
COPY deploy/docker/healthy /usr/local/bin/
COPY packages /opt/muster/packages
COPY package.json LICENSE /opt/muster/
ENV NODE_ENV=production
WORKDIR /opt/muster
USER 1000:1000
# A role's addresses and credentials may come as a file in the folder that is mounted; what the environment says wins.
ENTRYPOINT ["node", "--env-file-if-exists=/run/muster/settings.env"]

FROM runtime AS control-plane
USER root
# Where the set-up job has every role's volume; apart from what a role mounts, which Docker would begin with a copy of it.
RUN install -d -o 1000 -g 1000 -m 0700 /run/set-up/nats /run/set-up/replica /run/set-up/host /run/set-up/client \
  /run/set-up/access /run/set-up/streams
COPY --from=control-plane-dependencies /opt/muster/node_modules node_modules
COPY services/control-plane services/control-plane
COPY deploy/compose/set-up /usr/local/bin/
COPY deploy/nats /etc/muster/nats
COPY muster.yaml ./
USER 1000:1000
ENV MUSTER_CONFIG=/opt/muster/muster.yaml MUSTER_HTTP_HOST=0.0.0.0 MUSTER_HTTP_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=3s --timeout=10s --start-period=2m CMD ["healthy", "8080", "/readyz"]
CMD ["services/control-plane/src/main.ts"]

FROM runtime AS duckdb-worker
USER root
RUN install -d -o 1000 -g 1000 -m 0700 /var/lib/muster/tenants
COPY --from=duckdb-worker-dependencies /opt/muster/node_modules node_modules
COPY services/duckdb-worker services/duckdb-worker
USER 1000:1000
ENV MUSTER_DATA_DIR=/var/lib/muster/tenants
CMD ["services/duckdb-worker/src/main.ts"]

FROM runtime AS host
USER root
RUN install -d -o 1000 -g 1000 -m 0700 /var/lib/muster/host /var/lib/muster/tenants
COPY --from=host-dependencies /opt/muster/node_modules node_modules
COPY services/duckdb-worker services/duckdb-worker
COPY services/host services/host
COPY muster.yaml ./
USER 1000:1000
# Workers end with the container: so they are drained when it is stopped, and reached by its address.
ENV MUSTER_CONFIG=/opt/muster/muster.yaml MUSTER_HOST_STATE=/var/lib/muster/host MUSTER_DATA_DIR=/var/lib/muster/tenants \
  MUSTER_HOST_ON_STOP=drain MUSTER_WORKER_HOST=0.0.0.0 MUSTER_WORKER_ADVERTISE=auto MUSTER_READY_FILE=/tmp/ready
HEALTHCHECK --interval=3s --timeout=10s --start-period=2m CMD ["test", "-s", "/tmp/ready"]
CMD ["services/host/src/main.ts"]

# The official image is one program and nothing else: no user, no folder for data, nothing that could ask for its health.
FROM ${NATS_IMAGE} AS nats-server

FROM ${DEBIAN_IMAGE} AS nats
# One of the two, by the image; BuildKit wants the folder before a pattern to be there, and the official image has none.
COPY --from=nats-server /nats-serve[r] /us[r]/local/bin/nats-serve[r] /usr/local/bin/
COPY deploy/docker/healthy /usr/local/bin/
RUN nats-server --version && install -d -o 1000 -g 1000 -m 0700 /data /run/muster
USER 1000:1000
EXPOSE 4222 6222 8222
HEALTHCHECK --interval=3s --timeout=10s --start-period=2m CMD ["healthy", "8222", "/healthz?js-server-only=true"]
ENTRYPOINT ["nats-server"]
CMD ["--config", "/run/muster/nats-server.conf"]

FROM ${DEBIAN_IMAGE} AS front-door
RUN apt-get update -q && apt-get install -qy --no-install-recommends haproxy && rm -rf /var/lib/apt/lists/* /var/log/*
COPY deploy/docker/healthy /usr/local/bin/
COPY deploy/front-door/haproxy.cfg /etc/haproxy/haproxy.cfg
USER 1000:1000
EXPOSE 8080
# What is under way is answered, then it ends.
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=3s --timeout=10s --start-period=2m CMD ["healthy", "8080", "/front-door/healthz"]
ENTRYPOINT ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]

# Makes what NATS needs to speak TLS (deploy/compose/tls.yml), and ends.
FROM ${DEBIAN_IMAGE} AS certificates
RUN apt-get update -q && apt-get install -qy --no-install-recommends openssl && rm -rf /var/lib/apt/lists/* /var/log/* \
  && install -d -o 1000 -g 1000 -m 0700 /run/authority /run/set-up/nats /run/ca
COPY deploy/nats/make-certificates deploy/compose/certificates /usr/local/bin/
USER 1000:1000
ENTRYPOINT ["certificates"]
