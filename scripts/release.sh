#!/usr/bin/env bash
# Builds what a release consists of: static binaries, the licences of what is in them, and SHA-256 checksums.
#
#   scripts/release.sh v1.0.0 dist
set -euo pipefail
shopt -s nullglob
version=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOWORK=off

for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
  file=vggo-$version-${target/\//-}
  [ "${target%/*}" != windows ] || file=$file.exe
  echo "$file"
  GOOS=${target%/*} GOARCH=${target#*/} go build -trimpath -ldflags='-s -w' -o "$out/$file" ./cmd/vggo
done

# Go's library and each module that any of them links, with its licence.
{
  printf 'vggo\n\n' && cat LICENSE
  printf '\n\nThe Go standard library\n\n' && cat "$(go env GOROOT)/LICENSE"
  for system in linux darwin windows; do
    GOOS=$system go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/vggo
  done | sort -u | while read -r path release dir; do
    licences=("$dir"/LICEN[CS]E* "$dir"/COPYING* "$dir"/NOTICE*)
    [ ${#licences[@]} -gt 0 ] || { echo "$path has no licence" >&2; exit 1; }
    printf '\n\n%s %s\n\n' "$path" "$release" && cat "${licences[@]}"
  done
} >"$out/LICENSES.txt"

(cd "$out" && sha256sum vggo-* LICENSES.txt >SHA256SUMS)
