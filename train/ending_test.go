package train

import (
	"errors"
	"testing"

	"github.com/vggo/vggo/arch"
)

// TestEnding: a network that the cross-entropy of a softmax does not suit is refused before anything else.
func TestEnding(t *testing.T) {
	for text, refused := range map[string]bool{"8x8x3:4,G/2": false, "8x8x3:4,G/1s": true, "8x8x3:4,G/3s": true} {
		net, err := arch.Compact("net", text, arch.ImageNetInput)
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(Options{Recipe: Default(), Network: net})
		var ending *EndingError
		if errors.As(err, &ending) != refused || err == nil { // without data the others are refused later
			t.Errorf("%s: %v", text, err)
		}
	}
}
