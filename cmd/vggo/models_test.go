package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vggo/vggo/hub"
	"github.com/vggo/vggo/vision"
)

// TestModelsPage: docs/models.md and its translation are what the table says, and the translation leaves no English
// standing.
func TestModelsPage(t *testing.T) {
	for flag, file := range map[string]string{"--markdown": "models.md", "--markdown=zh-CN": "models.zh-CN.md"} {
		code, page, stderr := vggo(t.Context(), "models", flag)
		if code != 0 {
			t.Fatal(stderr)
		}
		committed, err := os.ReadFile(filepath.Join("../../docs", file))
		if err != nil {
			t.Fatal(err)
		}
		if page != string(committed) {
			t.Errorf("docs/%s is not what vggo models %s prints today", file, flag)
		}
		if english := regexp.MustCompile(`\b(the|of|its|by|and|for|from|as|no|in)\b.*`).FindString(page); file == "models.zh-CN.md" && english != "" {
			t.Errorf("docs/%s says %.60q", file, english)
		}
	}
	if code, _, stderr := vggo(t.Context(), "models", "--markdown=fr"); code != 2 ||
		!strings.Contains(stderr, "en and zh-CN") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, stderr := vggo(t.Context(), "models", "vgg16"); code != 2 ||
		!strings.Contains(stderr, "takes no names\nhint: vggo pull NAME") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// TestModelsHaveRecipes: a published file's recipe is one that vision knows.
func TestModelsHaveRecipes(t *testing.T) {
	for _, e := range hub.All() {
		if e.Preprocess.Value != "" {
			if _, err := vision.PreprocessByName(e.Preprocess.Value, 224, 224, 3); err != nil {
				t.Errorf("%s: %v", e.Name, err)
			}
		}
	}
}

// TestPlainProgress: a line for each tenth, and none for what was there before.
func TestPlainProgress(t *testing.T) {
	for _, c := range []struct {
		total       int64
		first, last int64
		want        string
	}{
		{553_437_752, 400_000_000, 553_437_752, " 80 % of 553.4 MB\n 90 % of 553.4 MB\n100 % of 553.4 MB\n"},
		{0, 50_000_000, 250_000_000, "100 MB\n200 MB\n"},
		{5, 5, 5, ""},
	} {
		var out strings.Builder
		report := plainProgress(&out)
		for done := c.first; done < c.last; done += 50_000 {
			report(done, c.total)
		}
		report(c.last, c.total)
		if out.String() != c.want {
			t.Errorf("%d bytes: %q, want %q", c.total, out.String(), c.want)
		}
	}
}

// TestWeightsByName finds pulled weights in the cache, and says how to get them there.
func TestWeightsByName(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("VGGO_CACHE", "")
	dir, err := hub.CacheDir()
	if err != nil || !strings.HasPrefix(dir, cache) {
		t.Skipf("the cache is elsewhere on this system: %s (%v)", dir, err)
	}
	e, ok := hub.Find("vgg16-keras") // whose size nobody tells
	if !ok {
		t.Fatal("no vgg16-keras")
	}
	if path, err := weightsPath("vgg16-keras"); err == nil ||
		!strings.Contains(err.Error(), "vgg16-keras is not in the cache") {
		t.Errorf("%s, %v", path, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, e.File)
	if err := os.WriteFile(want, []byte("weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	if path, err := weightsPath("vgg16-keras"); err != nil || path != want {
		t.Errorf("%s, %v, want %s", path, err, want)
	}
	if path, err := weightsPath("vgg17"); err == nil ||
		!strings.Contains(err.Error(), "vgg17: there is no such file, nor") {
		t.Errorf("%s, %v", path, err)
	}
	for _, name := range []string{"./vgg16", "vgg16.pth"} {
		if path, err := weightsPath(name); err != nil || path != name {
			t.Errorf("%s became %s, %v", name, path, err)
		}
	}
}
