# One static binary and the sample site on an empty image, for amd64 and arm64:
#
#   docker build --tag longshore:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 --tag longshore:0.1.0 .
#
# The compiler always runs on the builder's own architecture and cross-compiles from
# there: under emulation it would be many times slower.

FROM --platform=$BUILDPLATFORM rust:1.95 AS build
ARG TARGETARCH

# The linker and C library for the other architecture, only where it is another one.
# Older buildah and podman set no TARGETARCH: then it is the builder's own.
# Unpinned: the packages come from the base image's own release, which its tag pins.
# hadolint ignore=DL3008
RUN set -eu ; \
    case "${TARGETARCH:-$(dpkg --print-architecture)}" in \
      amd64) machine=x86_64 ; set -- gcc-x86-64-linux-gnu libc6-dev-amd64-cross ;; \
      arm64) machine=aarch64 ; set -- gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;; \
      *) echo "no build for TARGETARCH=$TARGETARCH" >&2 ; exit 1 ;; \
    esac ; \
    echo "$machine-unknown-linux-gnu" > /target ; \
    if [ "$(uname -m)" != "$machine" ]; then \
      apt-get update ; \
      apt-get install -y --no-install-recommends "$@" ; \
      rm -rf /var/lib/apt/lists/* ; \
      rustup target add "$machine-unknown-linux-gnu" ; \
    fi

ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CC_x86_64_unknown_linux_gnu=x86_64-linux-gnu-gcc \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
    RUSTFLAGS="-C target-feature=+crt-static"

WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src

# With --target the flags above are for the program alone, not for build scripts, which
# cannot be static. The target directory is a cache, so the binary is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    set -eu ; \
    target="$(cat /target)" ; \
    cargo build --release --locked --bin longshore --target "$target" ; \
    install -D -m 0755 "target/$target/release/longshore" /image/longshore

# Modes are set here, because a checkout under umask 077 has files that uid 65532
# cannot read. Times are kept.
COPY webpage /image/seed
RUN chmod -R u=rwX,go=rX /image/seed && \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt


FROM scratch
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="longshore" \
      org.opencontainers.image.description="Fills an empty Kubernetes volume with content, then takes uploads to it over HTTP." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

COPY --from=build /image /

# In numbers: there is no /etc/passwd, and `runAsNonRoot` cannot check a name.
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/longshore"]
CMD ["--help"]
