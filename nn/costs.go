package nn

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/internal/winograd"
)

// Costs are one thread's prices with one kernel set, measured by bench.Calibrate or, until somebody has the machine,
// estimated. They predict how long each algorithm would take for a layer (Costs.seconds); only their ratios matter to
// the choice.
type Costs struct {
	Processor string `json:"processor"` // that they were measured on, or what they were taken from
	Date      string `json:"date"`

	Direct      float64            `json:"direct_ps_per_mac"`       // forward and data gradient by the definition
	DirectGrad  float64            `json:"direct_grad_ps_per_mac"`  // weight gradient by the definition
	Product     float64            `json:"product_ps_per_mac"`      // products of Winograd's planes
	ProductGrad float64            `json:"product_grad_ps_per_mac"` // the same for the weight gradient
	Stream      float64            `json:"stream_ps_per_byte"`      // packed weights that cross memory
	Tiles       map[int]*TileCosts `json:"tiles"`                   // Winograd's transforms by the tile's side
}

// TileCosts are the prices of transforming one tile of 16 channels.
type TileCosts struct {
	Input  float64 `json:"input_ns"`
	Output float64 `json:"output_ns"`
	Grad   float64 `json:"grad_ns"` // of an output's gradient
}

// Price is one of the Costs.
type Price struct {
	What, Unit string
	Value      *float64
}

// NewCosts are Costs whose Prices are all zero.
func NewCosts() *Costs {
	c := &Costs{Tiles: map[int]*TileCosts{}}
	for _, tile := range winograd.Tiles {
		c.Tiles[tile] = &TileCosts{}
	}
	return c
}

// Prices lists all.
func (c *Costs) Prices() []Price {
	const mac, tile = "ps/MAC", "ns/tile"
	prices := []Price{
		{"direct", mac, &c.Direct}, {"direct, weight gradient", mac, &c.DirectGrad},
		{"winograd products", mac, &c.Product}, {"winograd products, weight gradient", mac, &c.ProductGrad},
		{"packed weights from memory", "ps/B", &c.Stream},
	}
	for _, side := range winograd.Tiles {
		t, name := c.Tiles[side], Algo(slices.Index(winograd.Tiles[:], side)+int(Winograd2)).String()
		prices = append(prices, Price{name + " input", tile, &t.Input}, Price{name + " output", tile, &t.Output},
			Price{name + " output's gradient", tile, &t.Grad})
	}
	return prices
}

// CostTable holds Costs by the name of the kernel set.
type CostTable map[string]*Costs

//go:embed costs.json
var committedCosts []byte

// DefaultCosts is the table that comes with vggo. It is not to be changed.
var DefaultCosts = sync.OnceValue(func() CostTable {
	t, err := parseCosts(committedCosts)
	if err != nil {
		panic(err) // the test that reads it would have failed
	}
	return t
})

// maxCostTable bounds a table's file.
const maxCostTable = 1 << 20

// ReadCosts reads a table as Write writes it.
func ReadCosts(r io.Reader) (CostTable, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCostTable+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxCostTable {
		return nil, fmt.Errorf("nn: a cost table of more than %d bytes", maxCostTable)
	}
	return parseCosts(text)
}

func parseCosts(text []byte) (CostTable, error) {
	var t CostTable
	if err := strict.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("nn: not a cost table: %w", err)
	}
	if len(t) == 0 {
		return nil, fmt.Errorf("nn: a cost table without kernel sets")
	}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if err := t[name].check(); err != nil {
			return nil, fmt.Errorf("nn: cost table for %s: %w", name, err)
		}
	}
	return t, nil
}

func (c *Costs) check() error {
	if c == nil {
		return fmt.Errorf("it is empty")
	}
	for _, tile := range winograd.Tiles {
		if c.Tiles[tile] == nil {
			return fmt.Errorf("no prices for tiles of %d", tile)
		}
	}
	for _, p := range c.Prices() {
		if v := *p.Value; !(v > 0) || math.IsInf(v, 0) {
			return fmt.Errorf("%s: a price of %v", p.What, v)
		}
	}
	return nil
}

// Write writes the table as JSON.
func (t CostTable) Write(w io.Writer) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// Of is the prices of the kernel set of that name: the table's, else those that come with vggo, else the portable
// set's, whose ratios are better than none.
func (t CostTable) Of(set string) *Costs {
	sets := kernel.Sets()
	for _, c := range []*Costs{t[set], DefaultCosts()[set]} {
		if c != nil {
			return c
		}
	}
	return DefaultCosts()[sets[len(sets)-1].Name]
}
