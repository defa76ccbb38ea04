package browser

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// figureOf is a figure of the page whose button can be seen.
type figureOf struct {
	Name          string
	Width, Height float64 // of what is drawn in it, in pixels of the page
	Paper         string  // what it lies on, "rgb(…)"
	// Shades are pixels of its first canvas that nothing smooths or covers: where they are in it, and red, green, blue.
	Shades [][5]float64
}

// saveable lists them. What is drawn is everything but what works a figure.
func (b *tab) saveable() []figureOf {
	b.Helper()
	return value[[]figureOf](b, `[...document.querySelectorAll("figure > .save")].map((s) => {
		if (!s.checkVisibility()) return [];
		const figure = s.parentElement;
		const { left, top, right } = figure.getBoundingClientRect();
		const tools = ".save, .row, label, fieldset, input, select, details, .hint";
		const drawn = [...figure.querySelectorAll("*")]
			.filter((e) => e.checkVisibility() && !e.parentElement.closest("svg") && !e.closest(tools))
			.map((e) => e.getBoundingClientRect()).filter((d) => d.width && d.height);
		const canvas = figure.querySelector("canvas");
		const shades = [];
		if (canvas && getComputedStyle(canvas).imageRendering === "pixelated" && !canvas.closest(".pad.still")) {
			const box = canvas.getBoundingClientRect();
			const w = box.width / canvas.width, h = box.height / canvas.height;
			const pinned = figure.querySelector("#cell-pinned")?.getBoundingClientRect();
			for (const [x, y] of w < 3 ? [] : [[0, 0], [canvas.width - 1, 0], [canvas.width - 1, canvas.height - 1]]) {
				const [px, py] = [box.left + (x + 0.5) * w, box.top + (y + 0.5) * h];
				if (pinned && Math.abs(pinned.left - px) < 3 * w && Math.abs(pinned.top - py) < 3 * h) continue;
				shades.push([px - left, py - top, ...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)]);
			}
		}
		let on = figure;
		while (getComputedStyle(on).backgroundColor === "rgba(0, 0, 0, 0)") on = on.parentElement;
		return { Name: s.getAttribute("aria-label"), Width: Math.max(right, ...drawn.map((d) => d.right)) - left,
			Height: Math.max(...drawn.map((d) => d.bottom)) - top, Paper: getComputedStyle(on).backgroundColor, Shades: shades };
	}).flat()`)
}

// catch has the page hand what it saves to the test: a browser without a window drops some of many downloads.
func (b *tab) catch() {
	b.Helper()
	b.js(`(() => {
		globalThis.caught = null;
		HTMLAnchorElement.prototype.click = function () { caught = [this.download, this.href] };
		const made = URL.createObjectURL;
		URL.createObjectURL = (blob) => { globalThis.blob = blob; return made.call(URL, blob) };
	})()`)
}

// saved is the file that the page saves, by its name, decoded.
func (b *tab) saved() (string, image.Image) {
	b.Helper()
	b.until(`caught && caught[1].startsWith("blob:")`)
	file := value[[]string](b, `new Promise((done) => {
		const reader = new FileReader();
		reader.onload = () => { done([caught[0], reader.result.split(",")[1]]); caught = null };
		reader.readAsDataURL(blob);
	})`)
	data, err := base64.StdEncoding.DecodeString(file[1])
	if err != nil {
		b.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		b.Fatalf("%s: %v", file[0], err)
	}
	return file[0], picture
}

// TestSave: every figure is saved as a PNG that has its size, what it lies on, its canvas' very pixels, and is not
// blank.
func TestSave(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/#picture=boot&layer=conv1_1", 1280, 900)
	b.catch()
	b.answered()
	b.until(`document.getElementById("working") && document.getElementById("field").dataset.box`)
	b.click("input[name=overlay][value=occlusion]")
	b.until(`document.querySelector("#heat-scale .scale")`)
	b.click("#train-one")
	b.until(`document.getElementById("opened-first") && document.querySelector("#last-adds dl")`)
	seen := b.save()
	for _, name := range []string{"Picture", "The answer", "The network, to scale", "What it sees", "conv1_1, map",
		"Maps of conv1_1", "3×3, one after the other", "one 7×7", "Kernel, stride and padding", "Scores and probabilities",
		"What adds most to", "Time of each layer", "Loss", "Right answers", "conv1_1's filters", "What it takes",
		"Picture 1 of 50", "the pixels, normalised", "A field of 28×28 pixels"} {
		if !strings.Contains(seen, ": "+name) {
			t.Errorf("%s is not saved, but%s", name, seen)
		}
	}
	b.js(`document.querySelector("[data-curve=loss]").parentElement.querySelector(".save").focus()`)
	b.click("#train-one") // which draws the curve anew
	b.until(`document.querySelector("[data-curve=loss]").dataset.points === "2" && ` +
		`document.activeElement === document.querySelector("[data-curve=loss]").parentElement.querySelector(".save")`)
	b.look("fc3")
	b.until(`document.querySelector("#panel-maps .units")`)
	seen = b.save("Maps of fc3") // bars
	b.click("#tab-filters")
	b.until(`document.querySelector("#panel-filters .kernels")`)
	if seen += b.save("weights of Ankle boot"); strings.Count(seen, "\n") != 2 {
		t.Errorf("of fc3 are saved%s", seen)
	}
	b.dark(true)
	b.do(chromedp.EmulateViewport(390, 844))
	b.click("#language")
	b.until(`![...document.querySelectorAll("figure > .save")].some((s) => s.checkVisibility() && ` +
		`/[a-z]{3}/.test(s.getAttribute("aria-label").replace(/conv|cell/, "")))`)
	for _, f := range b.saveable() {
		if strings.HasSuffix(f.Name, "按比例画出的网络") && (f.Width < 900 || f.Paper == "rgb(255, 255, 255)") {
			t.Errorf("on a phone, dark, the network is %+v", f)
		}
	}
	b.save()
	b.js(`localStorage.clear()`)
}

// save saves the figures in whose names something stands, all with no words, and lists their names.
func (b *tab) save(words ...string) string {
	b.Helper()
	list := ""
	for _, f := range b.saveable() {
		if !strings.Contains(f.Name, strings.Join(words, " ")) {
			continue
		}
		list += "\n" + f.Name
		b.js(fmt.Sprintf(`[...document.querySelectorAll("figure > .save")].find((s) => s.checkVisibility() && `+
			`s.getAttribute("aria-label") === %s).focus()`, quote(f.Name)))
		b.keys(kb.Enter)
		name, picture := b.saved()
		if keep := os.Getenv("VGGO_SAVED"); keep != "" {
			w, err := os.Create(filepath.Join(keep, name))
			if err != nil {
				b.Fatal(err)
			}
			_ = png.Encode(w, picture)
			_ = w.Close()
		}
		const scale, margin = 2, 12
		size := picture.Bounds().Size()
		if d := float64(size.X) - scale*(f.Width+2*margin); d < -1 || d > 1 {
			b.Errorf("%s is %d pixels wide, want %g", name, size.X, scale*(f.Width+2*margin))
		}
		if d := float64(size.Y) - scale*(f.Height+2*margin); d < -1 || d > 1 {
			b.Errorf("%s is %d pixels high, want %g", name, size.Y, scale*(f.Height+2*margin))
		}
		paper := picture.At(0, 0)
		if r, g, bl, _ := paper.RGBA(); fmt.Sprintf("rgb(%d, %d, %d)", r>>8, g>>8, bl>>8) != f.Paper {
			b.Errorf("%s lies on %v, want %s", name, paper, f.Paper)
		}
		if n := unlike(picture, paper); n < size.X*size.Y/200 {
			b.Errorf("%s is blank but for %d of %v pixels", name, n, size)
		}
		for _, s := range f.Shades {
			at := image.Pt(int(scale*(s[0]+margin)), int(scale*(s[1]+margin)))
			want := color.NRGBA{uint8(s[2]), uint8(s[3]), uint8(s[4]), 255}
			if got := color.NRGBAModel.Convert(picture.At(at.X, at.Y)); got != want {
				b.Errorf("%s has %v at %v, its canvas %v", name, got, at, want)
			}
		}
	}
	return list
}

// unlike counts the pixels of another colour.
func unlike(picture image.Image, c color.Color) (n int) {
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if picture.At(x, y) != c {
				n++
			}
		}
	}
	return n
}
