# The servers as images, each with what its program loads and nothing else: no shell, no package manager, no
# compiler. `--target proxy` (no libtorch), `--target a`, `--target b`. compose.yaml starts them together.
#
#   docker build --target proxy --tag splitscale-proxy .
#   docker build --target a --tag splitscale-a .
#   docker build --target b --tag splitscale-b .

ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm

# === the program without libtorch, and the root folder of its image ===

FROM ${RUST_IMAGE} AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ libjpeg62-turbo-dev python3 python3-pip \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# Copies a program to /image, and every library that it loads, each to where it was found: the path to libtorch
# is written in the program. Names of hosts are looked up in files, then in the DNS; no user has a name.
RUN printf '%s\n' '#!/bin/sh -e' \
    'install -D --strip "$1" /image/usr/bin/splitscale' \
    'ldd "$1" | tr " \t" "\n\n" | grep ^/ | sort -u | xargs cp --dereference --parents --target-directory /image' \
    'install -d /image/etc && echo "hosts: files dns" > /image/etc/nsswitch.conf' \
    > /usr/local/bin/make-image && chmod +x /usr/local/bin/make-image
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package splitscale \
 && make-image target/release/splitscale

# === the same with libtorch, which `cargo xtask setup` fetches ===

FROM build AS build-torch
ENV XDG_CACHE_HOME=/opt LIBTORCH=/opt/splitscale/libtorch-2.11.0-cpu
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    --mount=type=cache,target=/opt/splitscale \
    env --unset LIBTORCH cargo xtask setup \
 && cargo build --locked --release --package splitscale --features torch \
 && rm -rf /image && make-image target/release/splitscale

# === the images ===

FROM scratch AS proxy
COPY --from=build /image /
USER 65532:65532
STOPSIGNAL SIGTERM
EXPOSE 6000
ENTRYPOINT ["/usr/bin/splitscale", "serve", "proxy", "--host", "0.0.0.0"]

FROM scratch AS stage
COPY --from=build-torch /image /
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/splitscale"]

FROM stage AS a
EXPOSE 5000
ENTRYPOINT ["/usr/bin/splitscale", "serve", "a", "--host", "0.0.0.0"]

FROM stage AS b
EXPOSE 5001
ENTRYPOINT ["/usr/bin/splitscale", "serve", "b", "--host", "0.0.0.0"]
