package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/serve"
)

// TestVGG16 looks into VGG-16 at 224 by 224, whose maps take 60 MB a picture: the page stays as quick as with a small
// network.
func TestVGG16(t *testing.T) {
	_, web := serving(t, serve.Source{Name: "vgg16", Open: func() (*vggo.Model, error) {
		return vggo.New("vgg16", vggo.Options{Seed: 1, Threads: 2})
	}})
	b := open(t, web.URL, "/", 1280, 900)
	b.click("[data-example=cat]")
	b.answered()
	if got := b.text("#sure"); got == "" {
		t.Error("the page does not say that random weights mean nothing")
	}
	b.until(`document.getElementById("map") && document.getElementById("working")`)
	slowest, of := 0.0, ""
	for _, layer := range layers(b) {
		if layer == "softmax" {
			continue
		}
		took := value[float64](b, fmt.Sprintf(`(async () => {
			const start = performance.now();
			document.querySelector("#table [data-row=%s] button").click();
			const there = () => document.querySelector("#panel-maps .map") &&
				document.getElementById("map")?.dataset.layer === %s;
			while (!there()) await new Promise((r) => setTimeout(r, 5));
			return performance.now() - start;
		})()`, layer, quote(layer)))
		if took > slowest {
			slowest, of = took, layer
		}
	}
	t.Logf("from the click to the maps: %.0f ms at most, in %s", slowest, of)
	if !value[bool](b, `document.getElementById("alert").hidden`) {
		t.Errorf("the page complains: %q", b.text("#alert"))
	}
	if os.Getenv("VGGO_PAGE_TIMED") != "" && slowest > 1000 { // only where nothing else runs
		t.Errorf("the maps of %s are there %.0f ms after the click", of, slowest)
	}
	cell(b)
	field(b)
	filters(b)
	overlays(b)
	if rows := value[int](b, `document.querySelectorAll("#time-table tbody tr").length`); rows < 20 {
		t.Errorf("%d times are shown", rows)
	}
	b.click("input[name=overlay][value=gradcam]")
	b.until(`!document.getElementById("heat").hidden`)
	b.click("#fool")
	b.until(`document.getElementById("fool-answer")?.dataset.class`)
}

// TestTrained trains a network on Fashion-MNIST for a moment, serves what came of it and looks into it.
func TestTrained(t *testing.T) {
	wanted(t)
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA is not set: no Fashion-MNIST to train on")
	}
	if testing.Short() {
		t.Skip("it trains a network")
	}
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	train := exec.CommandContext(t.Context(), "go", "run", "github.com/vggo/vggo/cmd/vggo", "train",
		filepath.Join(data, "fashion-mnist"), "--recipe", "plain", "--model", "28x28x1:8b,M,16b,M/10", "--epochs",
		"0.3", "-o", run)
	if out, err := train.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", train, err, out)
	}
	weightFiles["mine"] = filepath.Join(run, "model.safetensors")
	_, web := serving(t, serve.Source{Name: "mine", Open: func() (*vggo.Model, error) {
		return vggo.Open(weightFiles["mine"], vggo.Options{Threads: 2})
	}})
	b := open(t, web.URL, "/", 1280, 900)
	tour(b, boot)
	if got := value[string](b, `document.getElementById("working").innerText`); got == "" {
		t.Error("no number is worked out")
	}
}

// builtin is the network that comes in the binary.
func builtin() serve.Source {
	return serve.Source{Name: embedded.Name, Open: func() (*vggo.Model,
		error) {
		return embedded.Open(vggo.Options{Threads: 2})
	}}
}

// TestEmbedded goes through every feature with the network that comes in the binary, beside another one.
func TestEmbedded(t *testing.T) {
	_, web := serving(t, builtin(), tiny())
	b := open(t, web.URL, "/", 1280, 900)
	tour(b, owl)
	b.upload("../static/examples/cat.jpg")
	b.until(`document.querySelector("#classes li .name")?.textContent === "cat"`)
	b.choose("#model", "tinyvgg") // the same picture, another network
	b.until(`document.querySelector("#table [data-row=fc3]") && ` +
		`document.getElementById("model-note").textContent.includes("Ankle boot")`)
	b.answered()
	b.until(`document.getElementById("map") && document.getElementById("working")`)
}

// TestScreenshots makes the picture of the page in docs/images, with the embedded network, where VGGO_SCREENSHOTS is
// set.
func TestScreenshots(t *testing.T) {
	if os.Getenv("VGGO_SCREENSHOTS") == "" {
		t.Skip("VGGO_SCREENSHOTS is not set")
	}
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/", 1280, 900)
	b.click("[data-example=cat]")
	b.answered()
	b.until(`document.getElementById("working")`)
	b.click("input[name=overlay][value=gradcam]")
	b.until(`!document.getElementById("heat").hidden`)
	b.js(`(() => { scrollTo(0, 0); return new Promise((r) => setTimeout(r, 700)); })()`)
	b.shotTo("../../docs/images/page.jpg")
}

// TestOvertaken: what is answered late is not shown over what was asked for since, be it a network or a picture.
func TestOvertaken(t *testing.T) {
	_, web := serving(t, builtin())
	needsServer(t, "a site's one worker answers in turn")
	b := open(t, web.URL, "/", 1280, 900)
	b.js(`(() => {
		const ask = fetch;
		globalThis.late = 0;
		globalThis.fetch = async (path, options) => {
			if (!path.includes("arch/vgg19") && !path.includes("page/owl")) return ask(path, options);
			const answer = await ask(path, { ...options, signal: undefined }); // it was on its way already
			await new Promise((done) => setTimeout(done, 500));
			setTimeout(() => { late++ }, 300);
			return answer;
		};
	})()`)
	b.choose("#which", "vgg19")
	b.choose("#which", "alexnet")
	b.until(`late === 1`)
	drawn := `[...document.querySelectorAll("#drawing g[data-layer]")].map((g) => g.dataset.layer)`
	if names := value[[]string](b, drawn); len(names) == 0 || slices.Contains(names, "conv3_4") {
		t.Errorf("alexnet was asked for last, and drawn are the layers %q", names)
	}
	b.click("[data-example=owl]")
	b.click("[data-example=cat]")
	b.until(`late === 2`)
	b.answered()
	if got := b.text("#classes li .name"); got != "cat" {
		t.Errorf("the cat was given last, and is a %q", got)
	}
}
