//go:build !race

package perceptual_test

const raceEnabled = false
