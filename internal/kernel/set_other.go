//go:build (!amd64 && !arm64) || purego

package kernel

// candidates is empty: here only the portable set runs.
var candidates []candidate
