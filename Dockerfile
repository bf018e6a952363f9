# docker build -t cloakroom . && docker run -p 8080:8080 -v cloakroom-data:/data cloakroom
FROM rust:1-slim-bookworm AS build
# The image has gcc; one dependency, the allocator, is built by make.
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock askama.toml ./
COPY vendor vendor
COPY src src
# Cargo.toml names an example and a benchmark that the product does not need; cargo wants their files to exist.
RUN mkdir -p tests/bench && echo 'fn main() {}' | tee tests/bench/bare.rs > tests/bench/micro.rs \
    && cargo build --locked --profile dist --bin cloakroom
COPY proxy.toml .
# The root file system may be read-only: sessions, and the secret that is made at first start, live in /data.
RUN printf '\n[store]\npath = "/data/cloakroom.db"\n' >> proxy.toml && mkdir /data

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Cloakroom" \
      org.opencontainers.image.description="A reverse proxy that adds sessions in front of unmodified apps" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# The certificates by which apps behind https:// are verified.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /build/target/dist/cloakroom /cloakroom
COPY --from=build /build/proxy.toml /etc/cloakroom/proxy.toml
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
ENV CLOAKROOM_CONFIG=/etc/cloakroom/proxy.toml \
    CLOAKROOM_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/cloakroom", "healthcheck"]
ENTRYPOINT ["/cloakroom"]
