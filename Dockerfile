# vggo serve in an image that holds one file: the static binary.
#
#   docker build -t vggo .
#   docker run --rm -p 127.0.0.1:8080:8080 -v "$PWD/weights:/weights:ro" vggo --weights /weights/vgg16.safetensors
#
# Within the container it must listen on all addresses; -p says which of the host's lead to it. Called by another name than localhost or an
# IP address it wants --allow-host.
FROM golang:1.26 AS build
WORKDIR /src
# The other modules of go.work are not needed here.
ENV GOWORK=off
COPY go.mod go.sum ./
RUN go mod download
# With .git, which names the build on /healthz.
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /vggo ./cmd/vggo

FROM scratch
COPY --from=build /vggo /vggo
USER 65532:65532
EXPOSE 8080
# With --grpc-addr 0.0.0.0:8081.
EXPOSE 8081
# docker stop sends it: the server answers what it has taken on.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/vggo", "serve", "--addr", "0.0.0.0:8080"]
