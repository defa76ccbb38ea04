package vggo_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/vggo/vggo"

// rooms is the import graph as policy, ground floor first: what each package, and those below it, may import of ours.
// An arrow points up this table or nowhere.
var rooms = []struct {
	path    string
	imports []string
}{
	{"internal/winograd", nil},
	{"internal/plainfile", nil},
	{"internal/fault", nil},
	{"internal/parallel", nil},
	{"internal/durable", nil},
	{"internal/printable", nil},
	{"internal/near", nil},
	{"internal/strict", nil},
	{"internal/sheet", []string{"internal/printable"}},
	{"internal/lock", []string{"internal/durable"}},
	{"internal/shard", []string{"internal/durable", "internal/strict"}},
	{"internal/machine", nil},
	{"tensor", nil},
	{"internal/kernel", []string{"internal/machine", "internal/winograd", "tensor"}},
	{"arch", []string{"internal/near", "internal/plainfile", "internal/printable"}},
	{"report/internal/svg", nil},
	{"report", []string{"internal/printable", "internal/sheet", "report/internal/svg", "arch"}},
	{"arch/archtest", []string{"arch"}},
	{"nn/reference", []string{"internal/parallel", "arch"}},
	{"nn", []string{"internal/fault", "internal/machine", "internal/parallel", "internal/printable", "internal/strict",
		"internal/winograd", "internal/kernel", "tensor", "arch"}},
	{"internal/pickle", nil},
	// kernel: a mapped file as floats is unsafe's business
	{"weights/internal/format", []string{"internal/fault", "internal/kernel", "internal/parallel", "internal/printable",
		"arch"}},
	{"weights/internal/hdf5", []string{"internal/printable", "weights/internal/format"}},
	{"weights/internal/checkpoint", []string{"internal/pickle", "internal/printable", "weights/internal/format"}},
	{"weights/internal/proto", []string{"weights/internal/format"}},
	{"weights/internal/chain", []string{"arch", "weights/internal/format"}},
	{"weights/internal/keras", []string{"internal/printable", "internal/strict", "arch", "weights/internal/format",
		"weights/internal/hdf5"}},
	{"weights/internal/numpy", []string{"internal/pickle", "internal/printable", "internal/strict", "arch",
		"weights/internal/format", "weights/internal/checkpoint"}},
	{"weights/internal/matlab", []string{"internal/printable", "arch", "weights/internal/format", "weights/internal/hdf5",
		"weights/internal/chain"}},
	{"weights/internal/caffe", []string{"arch", "weights/internal/format", "weights/internal/proto",
		"weights/internal/chain"}},
	{"weights/internal/torch7", []string{"arch", "weights/internal/format", "weights/internal/chain"}},
	{"weights/internal/darknet", []string{"internal/fault", "arch", "weights/internal/format", "weights/internal/chain"}},
	{"weights/internal/mxnet", []string{"weights/internal/format"}},
	{"weights/internal/onnx", []string{"internal/printable", "arch", "weights/internal/format"}},
	// keras: model.json of TensorFlow.js
	{"weights/internal/tensorflow", []string{"internal/fault", "internal/strict", "arch", "weights/internal/format",
		"weights/internal/proto", "weights/internal/keras", "weights/internal/onnx"}},
	{"weights/internal/torch", []string{"internal/pickle", "internal/printable", "arch", "weights/internal/format",
		"weights/internal/checkpoint", "weights/internal/chain"}},
	// kernel: what Windows maps, as bytes
	{"weights", []string{"internal/durable", "internal/kernel", "internal/plainfile", "internal/printable",
		"internal/strict", "internal/fault", "tensor", "arch",
		"weights/internal/format", "weights/internal/checkpoint", "weights/internal/keras", "weights/internal/numpy",
		"weights/internal/onnx", "weights/internal/torch", "weights/internal/matlab", "weights/internal/caffe",
		"weights/internal/torch7", "weights/internal/darknet", "weights/internal/mxnet",
		"weights/internal/tensorflow"}},
	{"nn/internal/golden", []string{"arch", "nn/reference", "weights"}},
	{"vision", []string{"internal/near", "internal/pickle", "internal/plainfile", "internal/printable", "internal/strict",
		"tensor"}},
	{"cluster", []string{"internal/kernel"}},
	{"train", []string{"cluster", "internal/durable", "internal/kernel", "internal/lock", "internal/machine",
		"internal/near", "internal/parallel", "internal/plainfile", "internal/printable", "internal/strict", "tensor",
		"arch", "nn", "weights", "vision"}},
	{"hub", []string{"internal/durable", "internal/lock", "internal/strict"}},
	{"deploy/check", nil},
	{"serve/protocol", nil}, // apart, so that it agrees with the server only where both agree with the specification
	{"bench", []string{"internal/machine", "internal/kernel", "cluster", "tensor", "arch", "nn", "vision", "train"}},
	{"report/roofline", []string{"report/internal/svg", "nn", "bench"}},
	{"report/scaling", []string{"report/internal/svg", "arch"}},
	{"report/training", []string{"internal/durable", "internal/machine", "report/internal/svg", "train"}},
	{"", []string{"internal/fault", "internal/printable", "internal/strict", "tensor", "arch", "nn", "weights", "vision"}},
	{"style", []string{"internal/kernel", "internal/machine", "internal/parallel", "tensor", "arch", "nn", "weights",
		"vision", "train", ""}},
	{"explain", []string{"tensor", "arch", "vision", ""}},
	{"similar", []string{"internal/durable", "internal/kernel", "internal/parallel", "internal/plainfile",
		"internal/printable", "internal/strict", "tensor", "weights", "vision", ""}},
	{"perceptual", []string{"internal/kernel", "internal/parallel", "tensor", "arch", "nn", "weights", "vision", "",
		"explain"}},
	{"embedded", []string{"weights", ""}},
	{"page/lesson", []string{"tensor", "arch", "nn", "vision", "train"}},
	{"page/lesson/fashion", []string{"vision", "page/lesson"}},
	{"page", []string{"internal/printable", "tensor", "arch", "vision", ""}},
	{"serve", []string{"internal/printable", "internal/strict", "tensor", "arch", "report", "nn", "weights", "vision", "",
		"explain", "page", "page/lesson", "perceptual", "similar", "style", "train"}},
	{"cmd/vggo", []string{"internal/durable", "internal/machine", "internal/parallel", "internal/printable",
		"internal/shard", "internal/sheet", "internal/kernel", "internal/near", "internal/plainfile", "internal/strict",
		"cluster", "tensor", "arch", "nn", "weights", "vision", "train", "hub",
		"bench", "report", "report/roofline", "report/training", "", "explain", "embedded", "perceptual",
		"style", "similar", "page/lesson/fashion", "serve"}},
	{"benchmarks", []string{"internal/printable", "arch", "bench"}},
	{"benchmarks/internal/standin", []string{"arch", "nn", "weights"}},
	{"benchmarks/coldstart", []string{"internal/printable", "arch", "benchmarks/internal/standin"}},
	{"benchmarks/serve", []string{"benchmarks/internal/standin"}},
	{"benchmarks/uneven", []string{"arch", "nn", "tensor", "benchmarks/internal/standin"}},
	{"page/site", []string{"internal/durable", "internal/printable", "embedded", "page"}},
	{"page/site/worker", []string{"", "page/lesson", "page/lesson/fashion", "serve"}},
}

// testOnly are packages that only tests import.
var testOnly = []string{"arch/archtest", "serve/protocol", "nn/internal/golden", "nn/reference"}

// room finds the row of rooms that a package belongs to: the longest path that begins its own.
func room(pkg string) (row int, ok bool) {
	row = -1
	for i, r := range rooms {
		within := pkg == r.path || r.path != "" && strings.HasPrefix(pkg, r.path+"/")
		if within && (row < 0 || len(r.path) > len(rooms[row].path)) {
			row = i
		}
	}
	return row, row >= 0
}

// moduleOf is the folder of the module that a package belongs to: "" is the root's.
func moduleOf(pkg string) string {
	for ; pkg != "" && pkg != "."; pkg = path.Dir(pkg) {
		if _, err := os.Stat(filepath.Join(filepath.FromSlash(pkg), "go.mod")); err == nil {
			return pkg
		}
	}
	return ""
}

// source is a parsed file of this repository, for whatever system it is meant.
type source struct {
	*ast.File
	fset *token.FileSet
	path string // from the root, with slashes
	text []byte
}

func (s source) pkg() string {
	if dir := path.Dir(s.path); dir != "." {
		return dir
	}
	return ""
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) line(at ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(at.Pos()).Line)
}

// imported lists what a file imports.
func (s source) imported() []string {
	var paths []string
	for _, spec := range s.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser has seen to it
		paths = append(paths, p)
	}
	return paths
}

// ours is an import of this repository, from its root; ok is false for others and the standard library.
func ours(importPath string) (pkg string, ok bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// walk calls do for every file below root, those of modules there too, like the go command passing over folders that
// begin with . or _ and testdata.
func walk(t *testing.T, root string, do func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			do(filepath.ToSlash(name))
			return nil
		}
		if name == root {
			return nil
		}
		if base := d.Name(); base[0] == '.' || base[0] == '_' || base == "testdata" {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// parse parses every Go file below root.
func parse(t *testing.T, root string) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	walk(t, root, func(name string) {
		if path.Ext(name) != ".go" {
			return
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{file, fset, name, text})
	})
	if len(all) == 0 {
		t.Fatalf("no Go file in %s", root)
	}
	return all
}

func TestImportGraph(t *testing.T) {
	for i, r := range rooms {
		for _, imported := range r.imports {
			if j, ok := room(imported); !ok || rooms[j].path != imported || j >= i {
				t.Errorf("the table lets %q import %q, which does not stand above it", r.path, imported)
			}
		}
	}
	for _, s := range parse(t, ".") {
		from, ok := room(s.pkg())
		if !ok {
			t.Errorf("%s: package %q has no row in the table of rooms", s.path, s.pkg())
			continue
		}
		for _, importPath := range s.imported() {
			pkg, ok := ours(importPath)
			if !ok {
				continue
			}
			if m := moduleOf(pkg); m != "" && m != moduleOf(s.pkg()) {
				t.Errorf("%s imports %s of the module %s, which go.work alone would find", s.path, importPath, m)
			}
			if s.isTest() {
				continue // tests may use what they like: the compiler refuses cycles
			}
			to, ok := room(pkg)
			switch {
			case !ok:
				t.Errorf("%s imports %s, which has no row in the table of rooms", s.path, importPath)
			case slices.Contains(testOnly, rooms[to].path) && !slices.Contains(testOnly, rooms[from].path):
				t.Errorf("%s imports %s, which is for tests", s.path, importPath)
			case to != from && !slices.Contains(rooms[from].imports, rooms[to].path):
				t.Errorf("%s imports %s: %q may import %q alone", s.path, importPath, rooms[from].path, rooms[from].imports)
			}
		}
	}
}

// TestLightPackages: who describes, runs, trains or times a network takes in no template language and no tables; who
// runs one no trainer and no benchmark either; and a network as data needs YAML's library alone.
func TestLightPackages(t *testing.T) {
	for _, c := range []struct{ pkg, without string }{
		{"", `/vggo/(bench|train|report)$|/template$|^github.com/jedib0t/`},
		{"train", `/vggo/(bench|report)$|/template$|^github.com/jedib0t/`},
		{"bench", `/vggo/report$|/template$|^github.com/jedib0t/`},
		{"arch", `^[^/]*\.`}, // whatever is no part of Go, but for these
	} {
		out, err := exec.Command("go", "list", "-deps", "./"+c.pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		without := regexp.MustCompile(c.without)
		for _, dep := range strings.Fields(string(out)) {
			own, _ := ours(dep)
			needed := own == c.pkg || strings.HasPrefix(own, "internal/") || strings.HasPrefix(dep, "go.yaml.in/yaml/")
			if without.MatchString(dep) && !needed {
				t.Errorf("package %q takes in %s", c.pkg, dep)
			}
		}
	}
}

// TestDefaultBuildHasNoMPI: what calls MPI's library makes a program dynamic, and is for the build tag mpi.
func TestDefaultBuildHasNoMPI(t *testing.T) {
	const caller = "github.com/ebitengine/purego"
	for tags, want := range map[string]bool{"": false, "mpi": true} {
		list := exec.Command("go", "list", "-deps", "-tags", tags, "./cmd/vggo")
		list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		if has := slices.Contains(strings.Fields(string(out)), caller); has != want {
			t.Errorf("tags %q: takes in %s: %v", tags, caller, has)
		}
	}
}

// TestUnsafeLivesInKernel holds assembly, unsafe and what bends the language to one package, and cgo to none. Windows
// fills structs whose addresses it is handed.
func TestUnsafeLivesInKernel(t *testing.T) {
	const home = "internal/kernel"
	toWindows := []string{"internal/machine/machine_windows.go", "internal/machine/clock_windows.go"}
	for _, s := range parse(t, ".") {
		for _, importPath := range s.imported() {
			if importPath == "unsafe" && s.pkg() != home && !slices.Contains(toWindows, s.path) && !s.isTest() {
				t.Errorf("%s imports unsafe: put what needs it into %s", s.path, home)
			}
			if importPath == "C" {
				t.Errorf("%s uses cgo", s.path)
			}
		}
		if bytes.Contains(s.text, []byte("\n//go:linkname ")) {
			t.Errorf("%s reaches into other packages by linkname", s.path)
		}
	}
	walk(t, ".", func(name string) {
		if path.Ext(name) == ".s" && path.Dir(name) != home {
			t.Errorf("%s: assembly belongs to %s", name, home)
		}
	})
}

// TestDependenciesWithoutCgo looks at every package that the build takes in, as it would be with cgo switched on.
func TestDependenciesWithoutCgo(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{if .CgoFiles}}{{.ImportPath}}{{end}}{{end}}",
		"./...")
	list.Env = append(os.Environ(), "CGO_ENABLED=1")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	for _, pkg := range strings.Fields(string(out)) {
		t.Errorf("%s uses cgo", pkg)
	}
}

// TestNothingFuses holds that networks compute alike on every processor: where it can, Go fuses x*y + z into one
// rounding, across statements too, unless a conversion rounds x*y first. It asks the compiler for riscv64, which fuses
// whatever arm64 does and more.
func TestNothingFuses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds for another processor")
	}
	build := exec.Command("go", "build")
	packages := []string{module + "/internal/winograd", module + "/internal/kernel", module + "/tensor", module + "/nn",
		module + "/perceptual", module + "/similar"}
	for _, pkg := range packages {
		build.Args = append(build.Args, "-gcflags="+pkg+"=-S")
	}
	build.Args = append(build.Args, packages...)
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=riscv64", "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	instruction := regexp.MustCompile(`\((\S+\.go:\d+)\)\t(F[A-Z]+)[SD]\t`)
	products, fused := 0, map[string]bool{}
	for _, m := range instruction.FindAllSubmatch(out, -1) {
		switch string(m[2]) {
		case "FMUL":
			products++
		case "FMADD", "FMSUB", "FNMADD", "FNMSUB":
			if at, ours := strings.CutPrefix(string(m[1]), root+string(filepath.Separator)); ours {
				fused[at] = true
			}
		}
	}
	if products == 0 {
		t.Fatalf("no product in %d bytes of assembly: the compiler writes otherwise than this test reads", len(out))
	}
	for _, at := range slices.Sorted(maps.Keys(fused)) {
		t.Errorf("%s: where the processor can, a product is added before it is rounded: write float32(x*y) or float64(x*y)",
			at)
	}
}

// TestLibrariesAreSilent holds printing, logging and ending the process to the commands.
func TestLibrariesAreSilent(t *testing.T) {
	loud := map[string][]string{
		"fmt": {"Print", "Printf", "Println"},
		"os":  {"Exit", "Stdout", "Stderr"},
	}
	for _, s := range parse(t, ".") {
		if s.isTest() || s.Name.Name == "main" {
			continue
		}
		for _, importPath := range s.imported() {
			if importPath == "log/slog" && s.pkg() == "serve" { // a server logs, to the logger that it is given
				continue
			}
			if importPath == "log" || strings.HasPrefix(importPath, "log/") {
				t.Errorf("%s imports %s: a library returns errors", s.path, importPath)
			}
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(loud[x.Name], n.Sel.Name) {
					t.Errorf("%s: %s.%s belongs in a command", s.line(n), x.Name, n.Sel.Name)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "print" || f.Name == "println") {
					t.Errorf("%s: %s belongs nowhere", s.line(n), f.Name)
				}
			}
			return true
		})
	}
}

// TestPackagesHaveDocs wants one package comment for each package, begun as godoc likes it.
func TestPackagesHaveDocs(t *testing.T) {
	packages := map[string]bool{}
	docs := map[string][]string{} // files with a comment, by package
	for _, s := range parse(t, ".") {
		if s.isTest() {
			continue
		}
		pkg := s.pkg()
		packages[pkg] = true
		if s.Doc == nil {
			continue
		}
		begin := "Package " + s.Name.Name + " "
		if s.Name.Name == "main" {
			begin = "Command " + path.Base(pkg) + " "
		}
		if !strings.HasPrefix(s.Doc.Text(), begin) {
			t.Errorf("%s: the package comment does not begin with %q", s.path, begin)
		}
		docs[pkg] = append(docs[pkg], s.path)
	}
	for _, pkg := range slices.Sorted(maps.Keys(packages)) {
		if len(docs[pkg]) != 1 {
			t.Errorf("package %q has a comment in %d files, not in one: %v", pkg, len(docs[pkg]), docs[pkg])
		}
	}
}

// TestFilesHaveOneSubject asks to look again at a file that grows beyond 600 lines.
func TestFilesHaveOneSubject(t *testing.T) {
	for _, s := range parse(t, ".") {
		if lines := bytes.Count(s.text, []byte("\n")); lines > 600 && !ast.IsGenerated(s.File) {
			t.Errorf("%s has %d lines: does it still have one subject?", s.path, lines)
		}
	}
}
