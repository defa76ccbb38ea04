package similar_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/similar"
)

// model is a small network of random weights. Of other seeds it is another.
func model(t testing.TB, network string, seed uint64, threads int) *vggo.Model {
	t.Helper()
	m, err := vggo.New(network, vggo.Options{Seed: seed, Threads: threads, Batch: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

const tiny = "16x16x3:8,M,16,M/10"

func describer(t testing.TB, m *vggo.Model) *similar.Describer {
	t.Helper()
	d, err := similar.New(m, "")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// patch is a picture that no two numbers agree about.
func patch(n int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, 20, 16))
	for i := range m.Pix {
		m.Pix[i] = uint8(i * (n*2 + 3) % 251)
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	m.Set(0, 0, color.White)
	return m
}

// TestUpdate: an index is brought up to date by decoding what is new, and comes to the one that is made anew.
func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i := range 8 {
		files = append(files, write(t, filepath.Join(dir, string(rune('a'+i))+".png"), patch(i)))
	}
	d := describer(t, model(t, tiny, 1, 1))
	if d.Note.Layer != "pool2" || d.Dims != 16 {
		t.Fatalf("the last map is %s of %d", d.Note.Layer, d.Dims)
	}
	path := filepath.Join(dir, "index")
	var told []string
	update := func(files []string, by similar.Build, want similar.Built) {
		t.Helper()
		if _, err := os.Stat(path); err == nil {
			if by.Old, err = similar.Open(path); err != nil {
				t.Fatal(err)
			}
		}
		told = nil
		by.Failed = func(path string, err error) { told = append(told, err.Error()) }
		x, built, err := d.Index(t.Context(), files, by)
		if err != nil || built != want {
			t.Fatalf("%+v, want %+v: %v", built, want, err)
		}
		fresh, _, err := d.Index(t.Context(), files, similar.Build{})
		if err != nil || !reflect.DeepEqual(x, fresh) {
			t.Fatalf("%v: the index is not the one that is made anew", err)
		}
		if err := x.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	update(files, similar.Build{}, similar.Built{Decoded: 8})
	update(files, similar.Build{}, similar.Built{Kept: 8})
	update(append(slices.Clone(files), files[0]), similar.Build{}, similar.Built{Kept: 8}) // named twice
	update(files, similar.Build{Bytes: true}, similar.Built{Read: 8})
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(files[2], later, later); err != nil {
		t.Fatal(err)
	}
	update(files, similar.Build{}, similar.Built{Kept: 7, Read: 1})
	// another picture, one under another name, one that is gone, one that is none
	write(t, files[3], patch(30))
	if err := errors.Join(os.Chtimes(files[3], later, later), os.Rename(files[4], files[4]+".png"), os.Remove(files[5]),
		os.WriteFile(files[6], []byte("no picture"), 0o666)); err != nil {
		t.Fatal(err)
	}
	files[4] += ".png"
	files = slices.Delete(files, 5, 6)
	update(files, similar.Build{}, similar.Built{Kept: 4, Read: 1, Decoded: 1, Gone: 1, Failed: 1})
	if len(told) != 1 || !strings.Contains(told[0], files[5]) {
		t.Errorf("said of the file that is none: %q", told)
	}
	update([]string{files[0], filepath.Join(dir, "missing.png"), "bad\xffname.png"}, similar.Build{},
		similar.Built{Kept: 1, Gone: 5, Failed: 2})
	if len(told) != 2 || !strings.Contains(told[0], "missing.png") || !strings.Contains(told[1], "UTF-8") {
		t.Errorf("said of missing files: %q", told)
	}
}

// TestSameIndex: an index does not depend on threads.
func TestSameIndex(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i := range 7 {
		files = append(files, write(t, filepath.Join(dir, string(rune('a'+i))+".jpg"), patch(i)))
	}
	var first *similar.Index
	for _, threads := range []int{1, 4} {
		x, _, err := describer(t, model(t, tiny, 1, threads)).Index(t.Context(), files, similar.Build{})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = x
		}
		if !reflect.DeepEqual(x, first) {
			t.Errorf("on %d threads the index is another one", threads)
		}
	}
}

// TestInterruptedIndex: what has been done stays, and so does what was known.
func TestInterruptedIndex(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i := range 9 {
		files = append(files, write(t, filepath.Join(dir, string(rune('a'+i))+".png"), patch(i)))
	}
	d := describer(t, model(t, tiny, 1, 2))
	old, _, err := d.Index(t.Context(), files[7:], similar.Build{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	x, built, err := d.Index(ctx, files, similar.Build{Old: old, Done: func(int) { stop() }})
	if !errors.Is(err, context.Canceled) || built.Decoded != 3 || len(x.Pictures) != 5 {
		t.Fatalf("%+v, %d pictures: %v", built, len(x.Pictures), err)
	}
	whole, built, err := d.Index(t.Context(), files, similar.Build{Old: x})
	if err != nil || built.Decoded != 4 || built.Kept != 5 || len(whole.Pictures) != 9 {
		t.Errorf("then %+v, %d pictures: %v", built, len(whole.Pictures), err)
	}
}

// TestOther: an index that was made otherwise is refused by the name of what differs.
func TestOther(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "a.png"), patch(1))
	d := describer(t, model(t, tiny, 1, 1))
	x, _, err := d.Index(t.Context(), []string{file}, similar.Build{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Describer(model(t, tiny, 1, 2)); err != nil {
		t.Errorf("the same network: %v", err)
	}
	unit := model(t, tiny, 1, 1)
	unit.Preprocess.Scale = 1
	early, err := similar.New(model(t, tiny, 1, 1), "pool1")
	if err != nil {
		t.Fatal(err)
	}
	for want, by := range map[string]*similar.Describer{
		"file of weights": describer(t, model(t, tiny, 2, 1)), "network": describer(t, model(t, "16x16x3:8,M/10", 1, 1)),
		"preparation": describer(t, unit), "layer": early,
	} {
		var other *similar.OtherError
		if _, _, err := by.Index(t.Context(), []string{file}, similar.Build{Old: x}); !errors.As(err, &other) ||
			other.What != want || other.Have == other.Want {
			t.Errorf("another %s: %v", want, err)
		}
	}
	var other *similar.OtherError
	if _, err := x.Describer(model(t, "16x16x3:8,M/10", 1, 1)); !errors.As(err, &other) || other.What != "network" {
		t.Errorf("another network: %v", err)
	}
}
