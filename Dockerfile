# Two stages: a compiler, and the binary with nothing but the C library beside it. No step needs more than the two base images and the
# crate registry.
#
#   docker build --build-arg EVENKEEL_REVISION="$(git rev-parse --short=12 HEAD)" -t evenkeel .
#   docker run --rm -v "$PWD/config:/etc/evenkeel:ro" -p 8080:8080 evenkeel

# The version of rust-toolchain.toml. That file stays out of the context, or rustup would fetch more than the image has.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
# `git` is not in the image: without the argument `evenkeel --version` says "unknown".
ARG EVENKEEL_REVISION
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin evenkeel && cp target/release/evenkeel /evenkeel

# No shell and no package manager: what is not there cannot be used against us. Same Debian as above, for the same C library.
FROM gcr.io/distroless/cc-debian12
COPY --from=build /evenkeel /usr/local/bin/evenkeel
# A number, so that Kubernetes can see that it is not root (`runAsNonRoot`).
USER 65532:65532
# Mount the folder, not the file: a file is replaced when it is saved, and a mount would keep the old one.
WORKDIR /etc/evenkeel
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["/usr/local/bin/evenkeel", "ready", "--config", "/etc/evenkeel/evenkeel.toml"]
ENTRYPOINT ["/usr/local/bin/evenkeel"]
CMD ["run", "--config", "/etc/evenkeel/evenkeel.toml"]
