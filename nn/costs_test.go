package nn_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
)

func TestCostTable(t *testing.T) {
	table := nn.DefaultCosts()
	for _, set := range kernel.Sets() {
		if table[set.Name] == nil {
			t.Errorf("the table that comes with vggo lacks %s", set)
		}
	}
	var text bytes.Buffer
	if err := table.Write(&text); err != nil {
		t.Fatal(err)
	}
	again, err := nn.ReadCosts(&text)
	if err != nil || !reflect.DeepEqual(again, table) {
		t.Errorf("%v, %v: not what was written", again, err)
	}
}

// TestUnpricedSet: a kernel set without a row compiles and computes, by the portable set's prices.
func TestUnpricedSet(t *testing.T) {
	set := *kernel.Sets()[0]
	set.Name = "unpriced"
	if got, want := nn.DefaultCosts().Of(set.Name), nn.DefaultCosts()["generic"]; got != want || want == nil {
		t.Errorf("prices of %v, want the portable set's", got)
	}
	tr := newTrial(t, 1, arch.Shape{C: 3, H: 12, W: 10}, 2, chooser()...)
	for _, costs := range []nn.CostTable{nil, {"avx2": nn.NewCosts()}} {
		opt := nn.Options{Costs: costs, Batch: 1}
		opt.On(&set)
		if _, choices, err := nn.Predict(archtest.PlaceOn(t, tr.network, tr.input), opt); err != nil || len(choices) == 0 {
			t.Errorf("%v, %d choices", err, len(choices))
		}
	}
}

func TestReadCostsRefuses(t *testing.T) {
	complete, err := json.Marshal(nn.DefaultCosts()["generic"])
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		text := `{"generic": ` + strings.Replace(string(complete), old, new, 1) + `}`
		if !strings.Contains(text, new) {
			t.Fatalf("%s has no %s", complete, old)
		}
		return text
	}
	for _, c := range []struct{ text, want string }{
		{"", "not a cost table"},
		{"[]", "not a cost table"},
		{"{}", "without kernel sets"},
		{`{"avx2": null}`, "cost table for avx2: it is empty"},
		{`{"avx2": {"tiles": {}}}`, "no prices for tiles of 2"},
		{change(`"direct_ps_per_mac":`, `"direct_ps_per_mac": -`), "cost table for generic: direct: a price of -"},
		{change(`"input_ns":`, `"input":`), "winograd2 input: a price of 0"},
		{strings.Repeat(" ", 1<<20) + "{}", "more than 1048576 bytes"},
	} {
		if _, err := nn.ReadCosts(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %q", c.text, err, c.want)
		}
	}
}
