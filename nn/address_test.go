package nn_test

import (
	"math/bits"
	"os"
	"runtime/debug"
	"testing"
)

// TestMain: where an address has 32 bits, garbage is collected well before there is none left. A heap that may double
// ends there with half of it unused.
func TestMain(m *testing.M) {
	if bits.UintSize == 32 {
		debug.SetMemoryLimit(2 << 30)
	}
	os.Exit(m.Run())
}
