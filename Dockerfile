# docker build -t cloakroom . && docker run -p 8080:8080 -v cloakroom-data:/data cloakroom
# The image has gcc, and that is all the dependencies need.
FROM rust:1-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock askama.toml ./
COPY vendor vendor
COPY src src
# Cargo.toml names an example that the product does not need; cargo wants its file to exist.
RUN mkdir -p tests/bench && echo 'fn main() {}' > tests/bench/bare.rs \
    && cargo build --locked --profile dist --bin cloakroom \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Cloakroom" \
      org.opencontainers.image.description="A reverse proxy that adds sessions in front of unmodified apps" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /build/target/dist/cloakroom /cloakroom
COPY proxy.toml /etc/cloakroom/proxy.toml
# Sessions, and the secret that is made at first start, live here: mount a volume.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /data
ENV CLOAKROOM_CONFIG=/etc/cloakroom/proxy.toml \
    CLOAKROOM_LISTEN=0.0.0.0:8080
EXPOSE 8080
VOLUME /data
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/cloakroom", "healthcheck"]
ENTRYPOINT ["/cloakroom"]
