package hub

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/vision"
)

// TestTable: every entry can be pulled as it stands, and no figure is without the place where it was read.
func TestTable(t *testing.T) {
	names, files, urls := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, e := range All() {
		if names[e.Name] || files[strings.ToLower(e.File)] || urls[e.URL.Value] {
			t.Errorf("%s: its name, file or address stands twice", e.Name)
		}
		names[e.Name], files[strings.ToLower(e.File)], urls[e.URL.Value] = true, true, true
		if e.File != filepath.Base(e.File) || strings.HasPrefix(e.File, ".") || strings.ContainsAny(e.File, `/\:`) {
			t.Errorf("%s: %q is no file name", e.Name, e.File)
		}
		for _, address := range []string{e.URL.Value, e.Pointer} {
			u, err := url.Parse(address)
			if address != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "") {
				t.Errorf("%s: %q is no address to download from (%v)", e.Name, address, err)
			}
		}
		if _, err := arch.Builtin(e.Network); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
		if _, err := vision.PreprocessByName(e.Preprocess.Value, 224, 224, 3); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
		if e.Checksum.Value == "" && e.Pointer == "" {
			t.Errorf("%s: nothing holds what is downloaded", e.Name)
		}
		if e.Checksum.Value != "" {
			_, digits, whole, err := e.Checksum.Value.split()
			if err != nil {
				t.Errorf("%s: %v", e.Name, err)
			}
			// Fewer digits than all are those of the publisher's own file name.
			if !whole && !strings.HasSuffix(e.URL.Value, "-"+digits+".pth") {
				t.Errorf("%s: %s does not carry %s", e.Name, e.URL.Value, digits)
			}
		}
		if s := e.Size.Value; s != (Size{}) && (s.Low < 1<<20 || s.High < s.Low || s.High > maxFile ||
			s.High-s.Low > 1_000_000) {
			t.Errorf("%s: size %d to %d", e.Name, s.Low, s.High)
		}
		if a := e.Accuracy.Value; a != (Performance{}) && (a.Top1 < 50 || a.Top5 <= a.Top1 || a.Top5 >= 95) {
			t.Errorf("%s: accuracy %v", e.Name, a)
		}
		if e.Credit == "" || e.Licence.Value == "" {
			t.Errorf("%s: no licence, or nobody to credit", e.Name)
		}
		for what, cited := range map[string][2]bool{
			"url": {e.URL.Value != "", e.URL.Source != ""}, "size": {e.Size.Value != Size{}, e.Size.Source != ""},
			"checksum": {e.Checksum.Value != "", e.Checksum.Source != ""}, "licence": {e.Licence.Value != "",
				e.Licence.Source != ""},
			"preprocess": {e.Preprocess.Value != "", e.Preprocess.Source != ""}, "accuracy": {e.Accuracy.Value != Performance{},
				e.Accuracy.Source != ""},
		} {
			if cited[0] != cited[1] {
				t.Errorf("%s: its %s has a value or a source, not both", e.Name, what)
			}
		}
		if found, ok := Find(e.Name); !ok || found != e {
			t.Errorf("Find(%q) finds %q", e.Name, found.Name)
		}
	}
	if _, ok := Find("vgg17"); ok {
		t.Error("vgg17 is found")
	}
}

// TestSizes: parameters of four bytes are nearly all of each file, so a size that is not theirs is a slip of the pen.
func TestSizes(t *testing.T) {
	for _, e := range All() {
		n, err := arch.Builtin(e.Network)
		if err != nil {
			t.Fatal(err)
		}
		r, err := arch.Analyze(n, n.Input, 1)
		if err != nil {
			t.Fatal(err)
		}
		size, want := e.Size.Value, 4*r.Total.Parameters
		if strings.HasPrefix(e.Note, "the convolutions alone") || size == (Size{}) {
			continue
		}
		if size.High < want || size.Low > want+1_000_000 {
			t.Errorf("%s: %v, and its parameters have %d bytes", e.Name, size, want)
		}
	}
	// torchvision's 527.796 are 2^20 bytes each: torch.hub reports 553,433,881 bytes for that file.
	if e, _ := Find("vgg16"); !e.Size.Value.holds(553_433_881) {
		t.Errorf("vgg16: %v", e.Size.Value)
	}
}

func TestChecksum(t *testing.T) {
	for text, want := range map[Checksum]bool{
		"sha256:397923af": true, "md5:64373286793e3c8b2b4e3219cbf3544b": true,
		"sha256:" + Checksum(strings.Repeat("0", 64)): true,
		"": false, "sha256:": false, "sha256:397923a": false, "sha1:397923af": false, "397923af": false,
		"sha256:397923AF": false,
		"sha256:" + Checksum(strings.Repeat("0", 65)): false, "sha256:397923ag": false,
	} {
		if _, _, _, err := text.split(); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCache(t *testing.T) {
	root := t.TempDir()
	t.Setenv(cacheEnv, root)
	dir, err := CacheDir()
	if err != nil || dir != filepath.Join(root, "models") {
		t.Fatalf("%s, %v", dir, err)
	}
	e := Entry{Name: "tiny", File: "tiny.pth", Size: Cited[Size]{Value: exactly(3)}}
	if path, ok := Path(e); ok {
		t.Errorf("an empty cache has %s", path)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tiny.pth")
	for text, want := range map[string]bool{"abc": true, "ab": false} {
		write(t, path, []byte(text))
		if got, ok := Path(e); ok != want || ok && got != path {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
	for text, want := range map[string]string{
		strings.Repeat("0", 64) + "  tiny.pth\n":       strings.Repeat("0", 64),
		strings.Repeat("0", 64) + "  other.pth\n":      "",
		strings.Repeat("0", 8) + "  tiny.pth\n":        "",
		strings.Repeat("0", 64):                        "",
		strings.Repeat("0", 1<<16) + "  tiny.pth\n":    "",
		strings.Repeat("0", 64) + "  tiny.pth\r\n":     strings.Repeat("0", 64),
		strings.Repeat("0", 64) + "  tiny.pth\nmore\n": "",
	} {
		write(t, record(path), []byte(text))
		if got := Recorded(path); got != want {
			t.Errorf("%.90q: %q", text, got)
		}
	}
}

// FuzzAnswers feeds the parsers of what servers say: whatever they accept is within bounds.
func FuzzAnswers(f *testing.F) {
	f.Add("bytes 100-199/200")
	f.Add("bytes 0-0/*")
	f.Add("version https://git-lfs.github.com/spec/v1\noid " +
		"sha256:57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8\nsize 553436140\n")
	f.Add("Thu, 26 Nov 2026 12:00:09 GMT")
	f.Add("120")
	f.Fuzz(func(t *testing.T, text string) {
		if first, total, err := parseContentRange(text); err == nil && (first < 0 || total < 0 || total > 0 &&
			first >= total) {
			t.Errorf("%q: from %d of %d", text, first, total)
		}
		if checksum, size, err := parsePointer([]byte(text)); err == nil {
			if algorithm, _, whole, err := checksum.split(); err != nil || !whole || algorithm != "sha256" || size < 0 ||
				size > maxFile {
				t.Errorf("%q: %s, %d bytes", text, checksum, size)
			}
		}
		h := map[string][]string{"Retry-After": {text}, "Date": {"Thu, 26 Nov 2026 12:00:00 GMT"}}
		if d := retryAfter(h); d < 0 {
			t.Errorf("%q: %v", text, d)
		}
	})
}
