package similar_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/similar"
	"github.com/vggo/vggo/vision"
)

// campaign is how many test pictures of CIFAR-10 TestCopies takes.
var campaign = flag.Int("similar.pictures", 100, "test pictures of CIFAR-10, evenly taken of 10,000, whose copies are "+
	"to be found")

// sheets is where it puts the pairs of different pictures that it found.
var sheets = flag.String("similar.sheets", "", "folder for contact sheets of the pairs of different pictures")

// copies are the ways to make a copy of a picture, and the least share that must be found again.
var copies = []struct {
	name  string
	least float64
	make  func(i int, p *vision.Picture) *vision.Picture
}{
	{"jpeg", 0.99, nil}, // written as a file of quality 50
	{"half", 0.99, func(_ int, p *vision.Picture) *vision.Picture { return p.Resize(p.W/2, p.H/2, vision.Bilinear) }},
	{"lighter", 0.99, func(_ int, p *vision.Picture) *vision.Picture { return scaled(p, 1.1) }},
	{"darker", 0.99, func(_ int, p *vision.Picture) *vision.Picture { return scaled(p, 0.9) }},
	// 5 % of 32 pixels, rounded up to 2, off each side's length, at nine places
	{"crop", 0.95, func(i int, p *vision.Picture) *vision.Picture {
		const off = 2
		x, y := i%(off+1), i/(off+1)%(off+1)
		c := vision.NewPicture(p.W-off, p.H-off, p.Channels)
		stride := c.W * c.Channels
		for row := range c.H {
			copy(c.Pix[row*stride:(row+1)*stride], p.Pix[((y+row)*p.W+x)*p.Channels:])
		}
		return c
	}},
}

// scaled multiplies samples, which end at 255.
func scaled(p *vision.Picture, by float64) *vision.Picture {
	q := vision.NewPicture(p.W, p.H, p.Channels)
	for i, v := range p.Pix {
		q.Pix[i] = uint8(min(float64(v)*by+0.5, 255))
	}
	return q
}

func write(t *testing.T, path string, m image.Image) string {
	t.Helper()
	var file bytes.Buffer
	var err error
	if strings.HasSuffix(path, ".jpg") {
		err = jpeg.Encode(&file, m, &jpeg.Options{Quality: 50})
	} else {
		err = png.Encode(&file, m)
	}
	if err == nil {
		err = os.WriteFile(path, file.Bytes(), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCopies: of CIFAR-10's test pictures, by the embedded network, copies are found as duplicates, and of pairs of
// different pictures one in a thousand at most is taken for one that nobody has looked at (testdata/cifar10-same.txt).
// It takes 100 of them; -similar.pictures 10000 takes all, and ten minutes.
func TestCopies(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: copies of CIFAR-10's pictures are not looked for")
	}
	data, err := vision.OpenDataset(filepath.Join(root, "cifar10-png.tar.gz"), vision.Test)
	if err != nil {
		t.Fatal(err)
	}
	const batch = 50
	model, err := embedded.Open(vggo.Options{Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	d, err := similar.New(model, "")
	if err != nil {
		t.Fatal(err)
	}

	kinds := 1 + len(copies)
	dir := t.TempDir()
	var files, names []string
	for n := range *campaign {
		i := n * data.Len() / *campaign
		p, err := data.Picture(i)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, data.Name(i))
		file := func(kind, ending string) string { return filepath.Join(dir, fmt.Sprintf("%05d-%s%s", i, kind, ending)) }
		files = append(files, write(t, file("original", ".png"), p.Image()))
		for _, c := range copies {
			if c.make == nil {
				files = append(files, write(t, file(c.name, ".jpg"), p.Image()))
			} else {
				files = append(files, write(t, file(c.name, ".png"), c.make(i, p).Image()))
			}
		}
	}
	x, built, err := d.Index(t.Context(), files, similar.Build{})
	if err != nil || built.Decoded != len(files) {
		t.Fatalf("%d of %d files decoded: %v", built.Decoded, len(files), err)
	}
	pairs, err := x.Duplicates(t.Context(), similar.DefaultRule(), 0)
	if err != nil {
		t.Fatal(err)
	}

	known, err := os.ReadFile(filepath.Join("testdata", "cifar10-same.txt"))
	if err != nil {
		t.Fatal(err)
	}
	looked := map[string]bool{}
	for line := range strings.Lines(string(known)) {
		if fields := strings.Fields(line); len(fields) == 2 {
			looked[fields[0]+" "+fields[1]] = true
		}
	}
	found := make([]int, kinds) // of an original and its copy
	wrong := 0
	others := map[[2]int]similar.Pair{} // by the numbers of their originals: the most alike
	for _, p := range pairs {
		a, b := p.A/kinds, p.B/kinds
		switch {
		case a == b && p.A%kinds == 0:
			found[p.B%kinds]++
		case a == b:
		default:
			if q, ok := others[[2]int{a, b}]; !ok || p.Correlation > q.Correlation {
				others[[2]int{a, b}] = p
			}
			if !looked[names[a]+" "+names[b]] {
				wrong++
			}
		}
	}
	for k, c := range copies {
		share := float64(found[k+1]) / float64(len(names))
		t.Logf("%-8s %d of %d found, %.2f %%", c.name, found[k+1], len(names), 100*share)
		if share < c.least {
			t.Errorf("%s: %.2f %% are found, and not %v %%", c.name, 100*share, 100*c.least)
		}
	}
	t.Logf("%d pairs in all, %d of pictures that are not known to be the same; %d pairs of originals are told alike",
		len(pairs), wrong, len(others))
	if float64(wrong) > 0.001*float64(len(pairs)) {
		t.Errorf("%d of %d pairs are of different pictures", wrong, len(pairs))
	}
	if *sheets != "" {
		writeSheets(t, x, names, kinds, others)
	}
}

// writeSheets shows pairs of different originals, the most alike first.
func writeSheets(t *testing.T, x *similar.Index, names []string, kinds int, others map[[2]int]similar.Pair) {
	t.Helper()
	var order [][2]int
	for key := range others {
		order = append(order, key)
	}
	slices.SortFunc(order, func(a, b [2]int) int {
		if c := others[b].Correlation - others[a].Correlation; c != 0 {
			return map[bool]int{true: 1, false: -1}[c > 0]
		}
		return slices.Compare(a[:], b[:])
	})
	var list strings.Builder
	s := similar.Sheet{Title: "pairs of different pictures"}
	var row []similar.Cell
	for i, key := range order {
		p := others[key]
		fmt.Fprintf(&list, "%s %s %.4f %.4f\n", names[key[0]], names[key[1]], p.Cosine, p.Correlation)
		for k, of := range key {
			picture, err := vision.DecodeFile(x.Pictures[of*kinds].Path, vision.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, similar.Cell{Picture: picture, Path: names[of], Lines: []string{
				fmt.Sprintf("%d%c  %.3f %.4f", i, 'a'+k, p.Cosine, p.Correlation)}})
		}
		if len(row) == 8 || i == len(order)-1 {
			s.Rows, row = append(s.Rows, row), nil
		}
		if len(s.Rows) == 8 || i == len(order)-1 {
			var file bytes.Buffer
			path := filepath.Join(*sheets, fmt.Sprintf("sheet-%03d.png", i/32))
			if err := errors.Join(s.PNG(&file), os.WriteFile(path, file.Bytes(), 0o666)); err != nil {
				t.Fatal(err)
			}
			s.Rows = nil
		}
	}
	if err := os.WriteFile(filepath.Join(*sheets, "pairs.txt"), []byte(list.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}
