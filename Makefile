# Short words for the usual commands. Go alone is needed; nothing here does what .ci/run does not.

.PHONY: build test check lint race kernels generated cross arm64 fuzz generate images bench benchmarks man

build: ; CGO_ENABLED=0 go build -o vggo ./cmd/vggo

test: ; go test ./...

# Everything that must hold before a change is accepted.
check: ; .ci/run

# Sections of it.
lint race kernels generated cross arm64 fuzz: ; .ci/run $@

# Rewrites internal/kernel/*_amd64.s and *_arm64.s from the programs in internal/kernel/_asm.
generate: ; cd internal/kernel/_asm && go run . ..

images:
	go run ./cmd/vggo arch vgg16 -o docs/images/vgg16.svg
	go run ./cmd/vggo bench --model vgg16 --steps 5 --burn-in 2 --mode forward-backward -o docs/images/roofline.svg
	VGGO_BROWSER=1 VGGO_SCREENSHOTS=1 go test ./page/browser -run TestScreenshots

# A man page of each command, as man -l man/vggo-train.1 shows it.
man: ; go test ./cmd/vggo -run TestManPages -man $(CURDIR)/man

bench: ; go run ./cmd/vggo bench

# vggo beside ONNX Runtime and PyTorch, which it installs; writes benchmarks/results.json and the tables.
benchmarks: ; go run ./benchmarks
