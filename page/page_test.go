package page

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/vision"
)

// TestWeight: the whole page, its pictures included, is small.
func TestWeight(t *testing.T) {
	total := 0
	for name, f := range Files() {
		total += len(f.Text)
		if f.Kind == "" {
			t.Errorf("%s has no media type", name)
		}
	}
	if total > 600_000 {
		t.Errorf("the page weighs %d bytes", total)
	}
	t.Logf("%d bytes", total)
}

// TestNoOtherHost: nothing in the page's files leads a browser to load from elsewhere, and no script or style stands in
// the HTML.
func TestNoOtherHost(t *testing.T) {
	other := regexp.MustCompile(`(?:src|href)="(?:https?:)?//|url\(|@import|import\([^)]*//`)
	inline := regexp.MustCompile(`<script>|<style|\son[a-z]+="|\sstyle="`)
	for name, f := range Files() {
		if strings.HasPrefix(f.Kind, "image/") {
			continue
		}
		if found := other.Find(f.Text); found != nil {
			t.Errorf("%s: %s", name, found)
		}
		if strings.HasSuffix(name, ".html") && inline.Match(f.Text) {
			t.Errorf("%s: %s", name, inline.Find(f.Text))
		}
	}
}

// TestWords: both languages have the same words with the same values in them, every word that is used exists, and none
// is idle.
func TestWords(t *testing.T) {
	files := Files()
	read := func(name string) map[string]string {
		words := map[string]string{}
		if err := json.Unmarshal(files[name+".json"].Text, &words); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return words
	}
	en, zh := read("en"), read("zh")
	for _, part := range []string{"story.", "train.", "fool.", "beside."} { // as words.js loads them
		for to, from := range map[*map[string]string]map[string]string{&en: read(part + "en"), &zh: read(part + "zh")} {
			for key, text := range from {
				if (*to)[key] != "" {
					t.Errorf("%s stands in two files", key)
				}
				(*to)[key] = text
			}
		}
	}
	if a, b := slices.Sorted(maps.Keys(en)), slices.Sorted(maps.Keys(zh)); !slices.Equal(a, b) {
		for _, key := range append(a, b...) {
			if (en[key] == "") != (zh[key] == "") {
				t.Errorf("%s is in one language", key)
			}
		}
	}
	value := regexp.MustCompile(`\{\w+\}`)
	for key := range en {
		a, b := value.FindAllString(en[key], -1), value.FindAllString(zh[key], -1)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s has %v in English, %v in Chinese", key, a, b)
		}
	}
	used := map[string]bool{}
	var begun []string // keys that end in a value: t(`col.${q}`)
	literal := regexp.MustCompile("[\"`]([a-z][a-zA-Z0-9]*(?:\\.[a-zA-Z0-9_]+)*)[\"`]")
	template := regexp.MustCompile("`([a-z][a-z.]*\\.)\\$\\{")
	for name, f := range files {
		if !strings.HasSuffix(name, ".js") && !strings.HasSuffix(name, ".html") {
			continue
		}
		for _, m := range literal.FindAllSubmatch(f.Text, -1) {
			used[string(m[1])] = true
		}
		for _, m := range template.FindAllSubmatch(f.Text, -1) {
			begun = append(begun, string(m[1]))
		}
		for _, m := range regexp.MustCompile(`data-t(?:-label)?="([^"]+)"|\bt\("([^"]+)"`).FindAllSubmatch(f.Text, -1) {
			if key := string(m[1]) + string(m[2]); en[key] == "" {
				t.Errorf("%s says %q, which is in no dictionary", name, key)
			}
		}
	}
	for key := range en {
		if !used[key] && !slices.ContainsFunc(begun, func(b string) bool { return strings.HasPrefix(key, b) }) {
			t.Errorf("nothing says %q", key)
		}
	}
}

// TestColours: maps and heat are in the colours of vggo explain.
func TestColours(t *testing.T) {
	_, list, _ := strings.Cut(string(Files()["colour.js"].Text), "const even = ")
	list, _, _ = strings.Cut(list, ";")
	var colours [][3]uint8
	if err := json.Unmarshal([]byte(list), &colours); err != nil || len(colours) < 5 {
		t.Fatalf("%v in %.60q", err, list)
	}
	for i, got := range colours {
		want := explain.Viridis(float64(i) / float64(len(colours)-1))
		if got != [3]uint8{want.R, want.G, want.B} {
			t.Errorf("colour %d is %v, viridis' %v", i, got, want)
		}
	}
}

// TestChineseClasses: the classes of the data sets that vggo knows have Chinese names.
func TestChineseClasses(t *testing.T) {
	var names map[string]string
	if err := json.Unmarshal(Files()["classes.zh.json"].Text, &names); err != nil {
		t.Fatal(err)
	}
	known := vision.ImageNetClasses()
	known = append(known, "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
	fashion, err := vision.ReadLabelsFile("../docs/examples/fashion-mnist.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(known, fashion.Names...) {
		if !regexp.MustCompile(`\p{Han}|iPod`).MatchString(names[name]) {
			t.Errorf("%q is called %q in Chinese", name, names[name])
		}
	}
}

// TestChineseFaults: what the server says is known in Chinese by its pattern: each is a regular expression with as many
// groups as its sentence asks for.
func TestChineseFaults(t *testing.T) {
	var faults [][2]string
	if err := json.Unmarshal(Files()["faults.zh.json"].Text, &faults); err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		pattern, err := regexp.Compile("^(?:" + f[0] + ")$")
		if err != nil {
			t.Errorf("%q: %v", f[0], err)
			continue
		}
		for _, m := range regexp.MustCompile(`\$(\d)`).FindAllStringSubmatch(f[1], -1) {
			if n, _ := strconv.Atoi(m[1]); n > pattern.NumSubexp() {
				t.Errorf("%q has %d groups, %q asks for %s", f[0], pattern.NumSubexp(), f[1], m[0])
			}
		}
	}
}
