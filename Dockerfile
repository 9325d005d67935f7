# syntax=docker/dockerfile:1
# The controller alone, as `holdfast install --image` wants it:
#
#   docker build -t registry.example.org/holdfast-controller:1.0 .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags '-s -w' -o /holdfast-controller ./cmd/holdfast-controller

# Certificates of public authorities, time zones, and a user that is not root. No shell.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /holdfast-controller /holdfast-controller
USER 65532:65532
EXPOSE 8080 9090 9440
ENTRYPOINT ["/holdfast-controller"]
