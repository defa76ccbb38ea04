// Command site builds the page as a site of files, which any file server can hand out: the handlers that a server has
// are WebAssembly there, run by the browser.
//
//	go run ./page/site -o site/
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/page"
)

const module = "github.com/vggo/vggo"

//go:embed static
var static embed.FS

func main() {
	out := flag.String("o", "", "the folder to build the site in")
	var models []model
	flag.Func("weights", "a file of weights, or NAME=FILE; again for each model (default: the embedded network)",
		func(text string) error {
			name, file, named := strings.Cut(text, "=")
			if !named {
				name, file = "", text
			}
			models = append(models, model{name, filepath.Base(file), file})
			return nil
		})
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: go run ./page/site -o FOLDER [-weights [NAME=]FILE]...")
		os.Exit(2)
	}
	files, err := build(models)
	if err == nil {
		err = write(*out, files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
	total := 0
	for _, text := range files {
		total += len(text)
	}
	fmt.Printf("%s: %d files, %s\n", *out, len(files), printable.Bytes(int64(total)))
}

// model is a network that the site begins with.
type model struct {
	name   string // empty: its network's
	origin string // what the page says of its weights
	path   string
}

// served is a model as worker.js reads it.
type served struct {
	Model string `json:"model"`
	File  string `json:"file"`
	At    string `json:"at"`
}

// lessons are the files of package fashion that a network learns from in the page, by their names here. worker.js
// fetches them when training begins.
var lessons = map[string]string{
	"fashion-images.bin": "images-idx3-ubyte.gz", "fashion-labels.bin": "labels-idx1-ubyte.gz",
	"fashion-licence.txt": "LICENSE",
}

// build makes the site's files, by their paths. Without models it has the embedded one.
func build(models []model) (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, file := range page.Files() {
		files["page/"+name] = file.Text
	}
	delete(files, "page/index.html")
	index, err := indexHTML(page.Files()["index.html"].Text)
	if err != nil {
		return nil, err
	}
	files["index.html"] = index
	for _, name := range []string{"site.js", "worker.js"} {
		if files["page/"+name], err = static.ReadFile("static/" + name); err != nil {
			return nil, err
		}
	}
	goRoot, err := goSays("env", "GOROOT")
	if err != nil {
		return nil, err
	}
	// what starts a program is of the Go that has compiled it
	if files["page/wasm_exec.js"], err = os.ReadFile(filepath.Join(goRoot, "lib/wasm/wasm_exec.js")); err != nil {
		return nil, err
	}
	root, err := goSays("list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return nil, err
	}
	for at, file := range lessons {
		if files["page/"+at], err = os.ReadFile(filepath.Join(root, "page/lesson/fashion", file)); err != nil {
			return nil, err
		}
	}
	if len(models) == 0 {
		models = []model{{"", embedded.Name, filepath.Join(root, "embedded/vgg-cifar10.safetensors")}}
	}
	var list []served
	for i, m := range models {
		weights, err := os.ReadFile(m.path)
		if err != nil {
			return nil, err
		}
		at := fmt.Sprintf("weights%d.bin", i)
		list = append(list, served{m.name, m.origin, at})
		files["page/"+at] = packed(planes(weights), gzip.HuffmanOnly)
	}
	if files["page/models.json"], err = json.Marshal(list); err != nil {
		return nil, err
	}
	program, err := compile()
	if err != nil {
		return nil, err
	}
	files["page/program.bin"] = packed(program, gzip.BestCompression)
	files["sw.js"], err = serviceWorker(files)
	return files, err
}

// policy is that of package serve, as far as a page can have it by itself, and that WebAssembly may be compiled.
const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data: blob:; object-src " +
	"'none'; base-uri 'none'; form-action 'self'"

// indexHTML is the page that begins with site.js in place of main.js, and finds its files beside itself.
func indexHTML(text []byte) ([]byte, error) {
	text = bytes.ReplaceAll(text, []byte(`="/page/`), []byte(`="page/`))
	for _, change := range [][2]string{
		{`src="page/main.js"`, `src="page/site.js"`},
		{"<meta charset=\"utf-8\">\n", "<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"" +
			policy + "\">\n"},
	} {
		if bytes.Count(text, []byte(change[0])) != 1 {
			return nil, fmt.Errorf("index.html does not hold %s once", strings.TrimSpace(change[0]))
		}
		text = bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
	}
	return text, nil
}

// serviceWorker is sw.js with the sums of all other files.
func serviceWorker(files map[string][]byte) ([]byte, error) {
	sums := map[string]string{}
	for name, text := range files {
		if name == "index.html" {
			name = "./" // a file server may lead index.html there
		}
		sum := sha256.Sum256(text)
		sums[name] = hex.EncodeToString(sum[:])
	}
	list, err := json.MarshalIndent(sums, "", "  ") // sorted
	if err != nil {
		return nil, err
	}
	script, err := static.ReadFile("static/sw.js")
	return fmt.Appendf(nil, "const files = %s;\n\n%s", list, script), err
}

// compile makes the program of package worker. Without inlining it is a seventh smaller when it is packed; the loops
// that take the time keep it.
func compile() ([]byte, error) {
	dir, err := os.MkdirTemp("", "vggo-site-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "program.wasm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-gcflags=all=-l",
		"-gcflags="+module+"/internal/kernel=", "-o", out, module+"/page/site/worker")
	// by jsonv2 encoding/json and the JSON of package strict are one library
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOEXPERIMENT=jsonv2")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build for js/wasm: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

// goSays is what the command go answers.
func goSays(args ...string) (string, error) {
	text, err := exec.Command("go", args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("go %s: %s", strings.Join(args, " "), bytes.TrimSpace(exit.Stderr))
	}
	return strings.TrimSpace(string(text)), err
}

// packed is gzip's. File servers seldom compress what they send, so the files are compressed as they lie there.
func packed(text []byte, level int) []byte {
	var to bytes.Buffer
	w, _ := gzip.NewWriterLevel(&to, level) // one that there is
	_, _ = w.Write(text)                    // to memory
	_ = w.Close()
	return to.Bytes()
}

// planes are the bytes at places 0, 4, 8, …, then those at 1, 5, 9, … and so on, which worker.js puts together
// again. The last ones of float32 are signs and exponents, which take fewer bits by themselves; nothing in weights
// repeats.
func planes(data []byte) []byte {
	apart := make([]byte, 0, len(data))
	for first := range 4 {
		for i := first; i < len(data); i += 4 {
			apart = append(apart, data[i])
		}
	}
	return apart
}

// write writes the files below a folder, the service worker last: it says what the others are.
func write(folder string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Join(folder, "page"), 0o777); err != nil {
		return err
	}
	for name, text := range files {
		if name == "sw.js" {
			continue
		}
		if err := durable.WriteBytes(filepath.Join(folder, filepath.FromSlash(path.Clean(name))), text); err != nil {
			return err
		}
	}
	return durable.WriteBytes(filepath.Join(folder, "sw.js"), files["sw.js"])
}
