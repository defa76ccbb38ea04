//go:build !linux

package kernel

// adviseHuge does nothing: elsewhere the system decides alone.
func adviseHuge([]float32) {}

func adviseSmall([]float32) {}
