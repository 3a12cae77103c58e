# syntax=docker/dockerfile:1
FROM rust:1.95-slim-trixie AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --package seawall --bin seawall \
    && cp target/release/seawall /seawall

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
# Orchestrators probe /healthz and /readyz on 9464; the image holds no client to do it from within.
ENTRYPOINT ["seawall"]
CMD ["run"]
