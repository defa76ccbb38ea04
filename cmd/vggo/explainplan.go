package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/bench"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/internal/sheet"
	"github.com/vggo/vggo/nn"
)

// explanation is what `vggo bench --explain-plan --json` prints.
type explanation struct {
	Model string         `json:"model"`
	Input arch.Shape     `json:"input"`
	Batch int            `json:"batch"`
	Set   string         `json:"kernel_set"`
	Costs pricesOrigin   `json:"costs"`
	Plans []*plannedMode `json:"plans"`
}

// pricesOrigin is where the prices were measured that the predicted seconds are made of.
type pricesOrigin struct {
	Processor string `json:"processor"`
	Date      string `json:"date"`
}

// plannedMode is one mode's Plan.
type plannedMode struct {
	Mode    bench.Mode  `json:"mode"`
	Bytes   int64       `json:"predicted_bytes"`
	Choices []nn.Choice `json:"choices"`
}

func explainPlan(c *bench.Config, modes []bench.Mode) (*explanation, error) {
	e := &explanation{Model: c.Placed.Network.Name, Input: c.Placed.Input, Batch: c.Batch, Set: c.Set}
	if costs := c.Costs.Of(c.Set); costs != nil {
		e.Costs = pricesOrigin{costs.Processor, costs.Date}
	}
	for _, mode := range modes {
		if err := nn.CheckMemory(c.Placed, c.Options(mode)); err != nil {
			return nil, hintSmaller(err)
		}
		memory, groups, err := nn.Predict(c.Placed, c.Options(mode))
		if err != nil {
			return nil, err
		}
		e.Plans = append(e.Plans, &plannedMode{mode, memory.Total(), nn.Choices(groups)})
	}
	return e, nil
}

func (e *explanation) write(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s, input %v, batch %d, kernel set %s, prices of %s, %s\n", e.Model, e.Input, e.Batch,
		e.Set, e.Costs.Processor, e.Costs.Date); err != nil {
		return err
	}
	for _, p := range e.Plans {
		header := []string{"layer", "pass", "algorithm"}
		figures := []int{}
		for _, algo := range nn.Algos() {
			header = append(header, algo.String())
			figures = append(figures, len(header))
		}
		header = append(header, "packed", "why")
		t := sheet.New(header...).Figures(append(figures, len(header)-1)...).Narrow(len(header),
			append([]int{len(header) - 1}, figures...)...)
		for _, c := range p.Choices {
			row := []any{c.Layer, c.Pass, c.Algo}
			packed := int64(0)
			for _, algo := range nn.Algos() {
				i := slices.IndexFunc(c.Candidates, func(x nn.Candidate) bool { return x.Algo == algo })
				if i < 0 {
					row = append(row, "")
					continue
				}
				row = append(row, fmt.Sprintf("%.2f", c.Candidates[i].Seconds*1e3))
				if algo == c.Algo {
					packed = c.Candidates[i].Bytes
				}
			}
			size := ""
			if packed > 0 {
				size = printable.Bytes(packed)
			}
			t.Row(append(row, size, c.Why)...)
		}
		if _, err := fmt.Fprintf(w, "\n%s, %s: by algorithm the ms that one thread is predicted to take for a step\n%s\n",
			p.Mode.Title(), printable.Bytes(p.Bytes), t.Text(sheet.Columns(w))); err != nil {
			return err
		}
	}
	return nil
}
