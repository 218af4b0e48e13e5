# vectord as an image: the same entry as npm start, data under /data, no compiler and no root.
#
# It listens on loopback of the container until you say otherwise. To publish the port, set
# VECTORD_SERVER_HOST=0.0.0.0 together with VECTORD_AUTH_KEYS: without keys it refuses to start.
#
#   docker build -t vectord .
#   docker run -p 8600:8600 -v vectord-data:/data \
#     -e VECTORD_SERVER_HOST=0.0.0.0 -e VECTORD_AUTH_KEYS="ops:admin:$(printf %s "$KEY" | sha256sum | cut -d' ' -f1)" vectord
#   docker stop --time 35 …        a last checkpoint may take server.drain_timeout_ms, 30 s
#
# The Node is the one that the tests run with (package.json); npm run check:docker compares them, and
# runs what is written here without an engine.

FROM node:24.21.0-bookworm-slim AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3 make g++ \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json ./
COPY scripts/setup.mjs scripts/build-web.mjs scripts/
COPY web web
COPY tsconfig.json ./
# Machines since about 2015 have AVX2. The image may run on another machine than it was built on.
ENV VECTORD_MARCH=x86-64-v3
# The pages of the dashboard are built with packages of development, which then go.
RUN npm ci && npm prune --omit=dev \
  && rm -rf node_modules/hnswlib-node/build/Release/obj.target node_modules/hnswlib-node/build/Release/.deps

FROM node:24.21.0-bookworm-slim
# LanceDB trusts what the system trusts; without these no bucket over HTTPS would be. Node brings its own.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production VECTORD_STORAGE_ROOT=/data
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/web/dist web/dist
COPY package.json LICENSE lakehouse.toml ./
COPY src src
COPY routes routes
COPY client client
COPY cli cli
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8600
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.VECTORD_SERVER_PORT ?? 8600}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=4", "src/server.ts"]
