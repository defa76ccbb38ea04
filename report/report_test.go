package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
)

// analyze is the report of a built-in network on its own input.
func analyze(t *testing.T, name string) *arch.Report {
	t.Helper()
	n, err := arch.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := arch.Analyze(n, n.Input, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func render(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestTableLines holds lines of the tables, spacing aside.
func TestTableLines(t *testing.T) {
	r := analyze(t, "vgg16")
	for _, c := range []struct {
		format   Format
		formulas bool
		want     []string
	}{
		{Table, false, []string{
			"vgg16: VGG paper, configuration D",
			"conv1_2  conv 3x3 pad 1, relu      224x224x64       36,864      64   1,849,688,064      12.8 MB      143.2      5",
			"pool5    maxpool 2x2/2, flatten       7x7x512                                          100.4 kB               212",
			"fc6      linear, relu, dropout 0.5   1x1x4096  102,760,448   4,096     102,760,448      16.4 kB        0.5    404",
			"parameters  138,357,544 = 138,344,128 weights + 13,416 biases",
			"work        15,470,264,320 MACs = 30.9 GFLOP per image",
			"inference   579.1 MB = 553.4 MB parameters + 25.7 MB activations",
			"training    1.19 GB = 553.4 MB parameters + 61.0 MB activations + 579.1 MB gradients of both",
		}},
		{Table, true, []string{
			"conv1_1  224x224x64   (224-3+2*1)/1+1 = 224  (3*3*3)*64 = 1728             64  224*224*1728 = 86704128      " +
				"1+(3-1)*1 = 3",
			"fc6      1x1x4096                            7*7*512*4096 = 102760448   4,096  1*1*102760448 = 102760448    " +
				"212+(7-1)*32 = 404",
		}},
		{Markdown, false, []string{
			"## vgg16: VGG paper, configuration D",
			"| conv1_1 | conv 3x3 pad 1, relu | 224x224x64 | 1,728 | 64 | 86,704,128 | 12.8 MB | 12.9 | 3 |",
			"- **parameters**: 138,357,544 = 138,344,128 weights + 13,416 biases",
		}},
	} {
		text := render(t, func(w io.Writer) error { return Network(w, r, c.format, c.formulas) })
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
		var lines []string
		for line := range strings.Lines(text) {
			lines = append(lines, squeeze(line))
		}
		for _, want := range c.want {
			if !slices.Contains(lines, squeeze(want)) {
				t.Errorf("%s, formulas %v: no line %q in\n%s", c.format, c.formulas, want, text)
			}
		}
	}
}

// TestCSV: every layer, in full precision, in columns that keep their names.
func TestCSV(t *testing.T) {
	r := analyze(t, "vgg16-bn")
	text := render(t, func(w io.Writer) error { return Network(w, r, CSV, false) })
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1+len(r.Layers) {
		t.Fatalf("%d lines for %d layers", len(lines), len(r.Layers))
	}
	sum := func(column string) (sum int64) {
		i := slices.Index(lines[0], column)
		if i < 0 {
			t.Fatalf("no column %s in %v", column, lines[0])
		}
		for _, line := range lines[1:] {
			n, err := strconv.ParseInt(line[i], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		return sum
	}
	if w, b, s, m := sum("weights"), sum("biases"), sum("statistics"), sum("macs_per_image"); w+b != 138_365_992 ||
		s != 8448 || m != 15_470_264_320 {
		t.Errorf("columns add up to %d + %d, %d statistics, %d MACs", w, b, s, m)
	}
}

// TestJSON holds the names that programs read.
func TestJSON(t *testing.T) {
	r := analyze(t, "vgg16")
	text := render(t, func(w io.Writer) error { return Network(w, r, JSON, false) })
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	keys := func(v any) string {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("%v is no object", v)
		}
		return strings.Join(slices.Sorted(maps.Keys(m)), " ")
	}
	layer := doc["layers"].([]any)[0].(map[string]any)
	for _, c := range []struct {
		what any
		want string
	}{
		{doc, "batch input layers memory network title total"},
		{doc["input"], "c h w"},
		{layer,
			"activation_bytes biases field flops_per_byte flops_per_image formulas in in_place kind macs_per_image name " +
				"operation out statistics weights"},
		{layer["formulas"], "activations field intensity macs size weights"},
		{layer["field"], "h w"},
		{layer["field"].(map[string]any)["h"], "jump offset size"},
		{doc["total"], "activation_bytes biases flops_per_byte flops_per_image macs_per_image parameters statistics " +
			"weighted_layers weights"},
		{doc["memory"], "infer_activation_bytes infer_bytes parameter_bytes train_activation_bytes " +
			"train_activation_gradient_bytes train_bytes train_parameter_gradient_bytes"},
	} {
		if got := keys(c.what); got != c.want {
			t.Errorf("keys %q, want %q", got, c.want)
		}
	}
	var back arch.Report
	if err := json.Unmarshal([]byte(text), &back); err != nil || back.Total != r.Total || back.Memory != r.Memory ||
		!slices.Equal(back.Layers, r.Layers) {
		t.Errorf("the report does not come back from its JSON (%v)", err)
	}
}

// TestSVG: the picture of every built-in, and of networks made to break it, is well-formed XML that names its layers
// and keeps every coordinate inside the picture.
func TestSVG(t *testing.T) {
	var reports []*arch.Report
	for _, name := range arch.Names() {
		reports = append(reports, analyze(t, name))
	}
	for _, s := range []string{"M", "1x1x1:1", "1x1000x1:3,3", "1000x1x1:3,3/2", "8x8x1:" + strings.Repeat("1,", 400) +
		"1/100000"} {
		n, err := arch.Compact(s, s, arch.ImageNetInput)
		if err != nil {
			t.Fatal(err)
		}
		n.Name, n.Title = "<script>&\x00\xff", `"]]>`
		n.Layers[0].Name = `a"<b>&' with a name far too long to draw`
		r, err := arch.Analyze(n, n.Input, 1)
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
	for _, r := range reports {
		text := render(t, func(w io.Writer) error { return Network(w, r, SVG, false) })
		if len(text) > 4<<20 {
			t.Errorf("%s: %d bytes", r.Network, len(text))
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%s: a coordinate is not a number", r.Network)
		}
		width, boxes := 0.0, 0
		dec := xml.NewDecoder(strings.NewReader(text))
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Errorf("%s: %v", r.Network, err)
				break
			}
			start, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			for _, a := range start.Attr {
				v, err := strconv.ParseFloat(a.Value, 64)
				switch {
				case start.Name.Local == "svg" && a.Name.Local == "width" && err == nil:
					width = v
				case a.Name.Local == "x" && err == nil && (v < 0 || v > width):
					t.Errorf("%s: <%s x=%q> in a picture %v wide", r.Network, start.Name.Local, a.Value, width)
				case start.Name.Local == "text" && a.Name.Local == "y" && err == nil && (v < 0 || v > svgHeight):
					t.Errorf("%s: <text y=%q> in a picture %v high", r.Network, a.Value, svgHeight)
				}
			}
			if start.Name.Local == "g" {
				boxes++
			}
		}
		if want := 1 + len(rows(r)); boxes != want {
			t.Errorf("%s: %d boxes, want %d", r.Network, boxes, want)
		}
	}
}

func TestComparisonAndCatalog(t *testing.T) {
	networks := []*arch.Report{analyze(t, "vgg16"), analyze(t, "alexnet")}
	comparison := func(w io.Writer, f Format) error { return Comparison(w, networks, f) }
	text := render(t, func(w io.Writer) error { return comparison(w, Table) })
	want := `network      input  depth   parameters  MACs per image  activations  inference  training
─────────────────────────────────────────────────────────────────────────────────────────
vgg16    224x224x3     16  138,357,544  15,470,264,320      60.4 MB   579.1 MB   1.19 GB
alexnet  227x227x3      8   60,965,224     724,406,816      5.04 MB   246.2 MB  495.7 MB
`
	if strings.ReplaceAll(text, "─", "") != strings.ReplaceAll(want, "─", "") {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	list, err := arch.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(arch.Names()) {
		t.Errorf("%d entries for %d names", len(list), len(arch.Names()))
	}
	catalog := func(w io.Writer, f Format) error { return Catalog(w, list, f) }
	for _, f := range []Format{Markdown, CSV, JSON} {
		for _, write := range []func(io.Writer, Format) error{comparison, catalog} {
			text := render(t, func(w io.Writer) error { return write(w, f) })
			if !strings.Contains(text, "alexnet") || !strings.Contains(strings.ReplaceAll(text, ",", ""), "60965224") {
				t.Errorf("%s lacks alexnet's 60965224:\n%s", f, text)
			}
		}
	}
	for _, err := range []error{comparison(io.Discard, SVG), catalog(io.Discard, "x"),
		Network(io.Discard, networks[0], "x", false), Fields(io.Discard, networks[0], SVG),
		Stack(io.Discard, &arch.StackReport{}, CSV)} {
		if err == nil || !strings.Contains(err.Error(), "want one of") {
			t.Errorf("an unknown format: %v", err)
		}
	}
}

// TestTones: each operation is drawn in a colour of its own kind, and said in the legend.
func TestTones(t *testing.T) {
	for _, op := range []arch.Op{arch.Conv{}, arch.ReLU{}, arch.MaxPool{}, arch.AvgPool{}, arch.L2Pool{},
		arch.AdaptiveAvgPool{}, arch.GlobalAvgPool{}, arch.LRN{}, arch.BatchNorm{}, arch.Flatten{}, arch.Linear{},
		arch.Dropout{}, arch.Softmax{}, arch.Sigmoid{}} {
		if tones[op.Kind()] == (tone{}) {
			t.Errorf("%s has no tone", op.Kind())
		}
	}
}
