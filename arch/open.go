package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vggo/vggo/internal/near"
)

var builtins = sync.OnceValue(func() []*Network { return append(vggNetworks(), otherNetworks()...) })

// Names lists the built-in networks: the VGG paper's table 1, then its variants, then the others.
func Names() []string {
	var names []string
	for _, n := range builtins() {
		names = append(names, n.Name)
	}
	return names
}

// Builtin returns a built-in network, the caller's to change. An unknown name is an *UnknownError.
func Builtin(name string) (*Network, error) {
	for _, n := range builtins() {
		if n.Name == name {
			clone := *n
			clone.Layers = slices.Clone(n.Layers)
			return &clone, nil
		}
	}
	return nil, &UnknownError{Name: name, Near: nearest(name)}
}

// CatalogEntry is a network with what it is, its figures for its own input.
type CatalogEntry struct {
	Name       string `json:"name"`
	Title      string `json:"title"`
	Input      Shape  `json:"input"`
	Parameters int64  `json:"parameters"`
	MACs       int64  `json:"macs_per_image"`
}

// Catalog lists the built-in networks with what they are, in Names' order.
func Catalog() ([]CatalogEntry, error) {
	var list []CatalogEntry
	for _, n := range builtins() {
		r, err := Analyze(n, n.Input, 1)
		if err != nil {
			return nil, err
		}
		list = append(list, CatalogEntry{n.Name, n.Title, n.Input, r.Total.Parameters, r.Total.MACs})
	}
	return list, nil
}

// Open returns the network that spec says, on its own input: a built-in's name, the path of a description (see
// ReadFile), or a compact string (see Compact). What ends in .yaml, .yml or .json is a path, and so is what leads to a
// file.
func Open(spec string, others ...Decoder) (*Placement, error) {
	n, unknown := Builtin(spec)
	if unknown == nil {
		return n.Place(n.Input)
	}
	switch strings.ToLower(filepath.Ext(spec)) {
	case ".yaml", ".yml", ".json":
		return ReadFile(spec, others...)
	}
	if info, err := os.Stat(spec); err == nil && info.Mode().IsRegular() {
		return ReadFile(spec, others...)
	}
	if spec != "" && (spec[0] >= '0' && spec[0] <= '9' || strings.Contains(spec, ",")) {
		n, err := Compact(clip(spec), spec, ImageNetInput)
		if err != nil {
			return nil, err
		}
		return n.Place(n.Input)
	}
	return nil, unknown
}

// UnknownError is a name that no built-in network has.
type UnknownError struct {
	Name string
	Near []string // built-in names like it, the nearest first; may be empty
}

func (e *UnknownError) Error() string { return fmt.Sprintf("no network is called %q", clip(e.Name)) }

// nearest returns up to four built-in names that a slip of the hand could have turned into name.
func nearest(name string) []string { return near.Names(clip(name), Names(), 4, strings.ToLower) }
