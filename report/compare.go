package report

import (
	"io"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/internal/sheet"
)

// Comparison writes the totals of several networks side by side, as Table, Markdown, CSV or JSON (an array of reports).
func Comparison(w io.Writer, networks []*arch.Report, format Format) error {
	count, bytes := printable.Count, printable.Bytes
	t := sheet.New("network", "input", "depth", "parameters", "MACs per image", "activations", "inference", "training").
		Figures(2, 3, 4, 5, 6, 7, 8).Narrow(1, 6, 8, 3, 7, 2)
	var records [][]any
	for _, r := range networks {
		t.Row(r.Network, r.Input, r.Total.WeightedLayers, count(r.Total.Parameters), count(r.Total.MACs),
			bytes(r.Total.ActivationBytes), bytes(r.Memory.Infer), bytes(r.Memory.Train))
		records = append(records, []any{r.Network, r.Input.H, r.Input.W, r.Input.C, r.Batch, r.Total.WeightedLayers,
			r.Total.Weights, r.Total.Biases, r.Total.Parameters, r.Total.Statistics,
			r.Total.MACs, r.Total.FLOPs, r.Total.ActivationBytes, r.Memory.Infer, r.Memory.Train})
	}
	return content{
		text: tableOnly(t),
		columns: "network,in_height,in_width,in_channels,batch,weighted_layers,weights,biases,parameters,statistics," +
			"macs_per_image,flops_per_image,activation_bytes,infer_bytes,train_bytes",
		records: records,
		value:   networks,
	}.write(w, format)
}

// Catalog writes a list of networks, such as [arch.Catalog], with what they are, as Table, Markdown, CSV or JSON.
func Catalog(w io.Writer, list []arch.CatalogEntry, format Format) error {
	t := sheet.New("name", "input", "parameters", "MACs per image", "what it is").Figures(2, 3, 4).Narrow(5, 4, 2)
	var records [][]any
	for _, e := range list {
		t.Row(e.Name, e.Input, printable.Count(e.Parameters), printable.Count(e.MACs), e.Title)
		records = append(records, []any{e.Name, e.Title, e.Input, e.Parameters, e.MACs})
	}
	return content{
		text: tableOnly(t), columns: "name,title,input,parameters,macs_per_image",
		records: records, value: list,
	}.write(w, format)
}
