# syntax=docker/dockerfile:1
FROM rust:1.95-slim-trixie AS build
# The allocator is built with make.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --package seawall --bin seawall \
    && cp target/release/seawall /seawall

# The load generator, whose server stands in for a real one in config/cluster/compose.yaml: `--target loadtest`.
FROM build AS build-loadtest
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --package loadtest --bin loadtest \
    && cp target/release/loadtest /loadtest

FROM debian:trixie-slim AS loadtest
COPY --from=build-loadtest /loadtest /usr/local/bin/loadtest
USER 10001
EXPOSE 4321 4322
ENTRYPOINT ["loadtest"]

FROM debian:trixie-slim
# The system's certificate authorities, for wss://.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home seawall
COPY --from=build /seawall /usr/local/bin/seawall
COPY config/seawall.toml /usr/share/doc/seawall/seawall.toml
USER 10001
# Inside a container only the container itself could reach 127.0.0.1. There is no authentication on
# this port: keep it on a private network.
ENV SEAWALL_ADMIN__LISTEN=0.0.0.0:9464
EXPOSE 4320 9464
# Node links, with several nodes: the port of ownership.advertise.
EXPOSE 4319/udp
# Orchestrators probe /healthz and /readyz on 9464. From within, bash can (config/cluster/compose.yaml), and
# `seawall cluster` shows the fleet.
ENTRYPOINT ["seawall"]
CMD ["run"]
