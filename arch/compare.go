package arch

import (
	"io"

	"github.com/vggo/vggo/internal/sheet"
)

// Comparison is several networks side by side.
type Comparison []*Report

// Write writes the comparison as Table, Markdown, CSV or JSON (an array of reports).
func (c Comparison) Write(w io.Writer, format Format) error {
	switch format {
	case Table, Markdown:
		t := sheet.New("network", "input", "depth", "parameters", "MACs per image", "activations", "inference", "training").
			Figures(2, 3, 4, 5, 6, 7, 8).Narrow(1, 6, 8, 3, 7, 2)
		for _, r := range c {
			t.Row(r.Network, r.Input, r.Total.WeightedLayers, Count(r.Total.Parameters), Count(r.Total.MACs),
				Bytes(r.Total.ActivationBytes), Bytes(r.Memory.Infer), Bytes(r.Memory.Train))
		}
		_, err := io.WriteString(w, renderTable(w, t, format)+"\n")
		return err
	case CSV:
		names := "network,in_height,in_width,in_channels,batch,weighted_layers,weights,biases,parameters,statistics," +
			"macs_per_image,flops_per_image,activation_bytes,infer_bytes,train_bytes"
		var records [][]any
		for _, r := range c {
			records = append(records, []any{r.Network, r.Input.H, r.Input.W, r.Input.C, r.Batch, r.Total.WeightedLayers,
				r.Total.Weights, r.Total.Biases, r.Total.Parameters, r.Total.Statistics,
				r.Total.MACs, r.Total.FLOPs, r.Total.ActivationBytes, r.Memory.Infer, r.Memory.Train})
		}
		return writeCSV(w, names, records)
	case JSON:
		return writeJSON(w, c)
	}
	return unknownFormat(format, Table, Markdown, CSV, JSON)
}

// Catalog is a list of networks with what they are.
type Catalog []CatalogEntry

// CatalogEntry is one network of a Catalog, its figures for its own input.
type CatalogEntry struct {
	Name       string `json:"name"`
	Title      string `json:"title"`
	Input      Shape  `json:"input"`
	Parameters int64  `json:"parameters"`
	MACs       int64  `json:"macs_per_image"`
}

// Builtins is the catalog of the built-in networks, in Names' order.
func Builtins() (Catalog, error) {
	var c Catalog
	for _, n := range builtins() {
		r, err := Analyze(n, n.Input, 1)
		if err != nil {
			return nil, err
		}
		c = append(c, CatalogEntry{n.Name, n.Title, n.Input, r.Total.Parameters, r.Total.MACs})
	}
	return c, nil
}

// Write writes the catalog as Table, Markdown, CSV or JSON.
func (c Catalog) Write(w io.Writer, format Format) error {
	switch format {
	case Table, Markdown:
		t := sheet.New("name", "input", "parameters", "MACs per image", "what it is").Figures(2, 3, 4).Narrow(5, 4, 2)
		for _, e := range c {
			t.Row(e.Name, e.Input, Count(e.Parameters), Count(e.MACs), e.Title)
		}
		_, err := io.WriteString(w, renderTable(w, t, format)+"\n")
		return err
	case CSV:
		var records [][]any
		for _, e := range c {
			records = append(records, []any{e.Name, e.Title, e.Input, e.Parameters, e.MACs})
		}
		return writeCSV(w, "name,title,input,parameters,macs_per_image", records)
	case JSON:
		return writeJSON(w, c)
	}
	return unknownFormat(format, Table, Markdown, CSV, JSON)
}
