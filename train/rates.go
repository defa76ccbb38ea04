package train

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
)

// rateRules are what the recipe's Rates make of a network's layers, one for each that they name.
func (r Recipe) rateRules(placed *arch.Placement) ([]Rule, error) {
	for _, name := range slices.Sorted(maps.Keys(r.Rates)) {
		if rate := r.Rates[name]; !(rate >= 0 && rate <= most) {
			return nil, fmt.Errorf("rates: %s must be at least 0, not %v", printable.Text(name), rate)
		}
	}
	var rules []Rule
	used, block := map[string]bool{}, 1
	for _, layer := range placed.Layers {
		if len(layer.Params) > 0 {
			name, err := r.rateName(layer.Name, block)
			if err != nil {
				return nil, err
			}
			if rate, ok := r.Rates[name]; ok {
				used[name] = true
				rules = append(rules, Rule{Params: literal.Replace(layer.Name), Rate: &rate})
			}
		}
		switch layer.Op.(type) {
		case arch.MaxPool, arch.AvgPool, arch.L2Pool, arch.GlobalAvgPool, arch.AdaptiveAvgPool:
			block++
		case arch.Flatten:
			block = 0 // what is behind it is in none
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Rates)) {
		if !used[name] {
			return nil, fmt.Errorf("rates: %q names no layer of %s: want a layer with weights, what several are called with "+
				"their numbers left out (conv3, fc), or a block up to its pooling (block1)", printable.Text(name),
				placed.Network.Name)
		}
	}
	return rules, nil
}

// rateName is the key of Rates that names a layer: its name, or else the one that names it among others. Two of these
// are an error.
func (r Recipe) rateName(layer string, block int) (string, error) {
	if _, ok := r.Rates[layer]; ok {
		return layer, nil
	}
	found := ""
	for _, name := range slices.Sorted(maps.Keys(r.Rates)) {
		if name != fmt.Sprintf("block%d", block) && !numbered(layer, name) {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("rates: %s is named by both %s and %s: name it itself, or one of them less", layer, found,
				name)
		}
		found = name
	}
	return found, nil
}

// numbered reports whether a layer is called by a name and a number behind it: conv1_2 by conv1 and by conv, which is
// not conv10's conv1.
func numbered(layer, name string) bool {
	rest, ok := strings.CutPrefix(layer, name)
	if !ok || rest == "" || name == "" {
		return false
	}
	if rest[0] == '_' {
		return true
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	return digit(rest[0]) && !digit(name[len(name)-1])
}
