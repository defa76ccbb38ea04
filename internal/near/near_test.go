package near

import (
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	names := []string{"vgg11", "vgg16", "Ankle boot", "bee", "zebra", "", strings.Repeat("x", 100)}
	for _, c := range []struct {
		word string
		want []string
	}{
		{"vgg61", []string{"vgg11", "vgg16"}},
		{"vgg1", []string{"vgg11", "vgg16"}},
		{"ebe", []string{"bee"}},
		{"z", []string{"zebra"}},
		{"dgo", nil},
		{"ankel boot", []string{"Ankle boot"}},
		{"b", []string{"bee"}},
		{"zerba", []string{"zebra"}},
		{"resnet50", nil},
		{"", nil},
		{strings.Repeat("x", 100), nil},
	} {
		if got := Names(c.word, names, 2, strings.ToLower); !slices.Equal(got, c.want) {
			t.Errorf("near %q: %q, want %q", c.word, got, c.want)
		}
	}
}
