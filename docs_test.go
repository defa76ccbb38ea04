package vggo_test

import (
	"bytes"
	"go/ast"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// document is a Markdown file, taken apart.
type document struct {
	path   string
	levels []string // of headings: "##"
	blocks []codeBlock
	spans  []string // inline code, outside blocks
	links  []string // targets of links and pictures
}

type codeBlock struct{ language, text string }

var (
	spanPattern = regexp.MustCompile("`([^`]+)`")
	linkPattern = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

func readDocument(t *testing.T, name string) document {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := document{path: name}
	var block *codeBlock
	for line := range strings.Lines(string(text)) {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && block == nil:
			block = &codeBlock{language: strings.TrimSpace(language)}
		case fence:
			d.blocks, block = append(d.blocks, *block), nil
		case block != nil:
			block.text += line
		default:
			if level, _, ok := strings.Cut(line, " "); ok && level != "" && strings.Trim(level, "#") == "" {
				d.levels = append(d.levels, level)
			}
			for _, m := range spanPattern.FindAllStringSubmatch(line, -1) {
				d.spans = append(d.spans, m[1])
			}
			for _, m := range linkPattern.FindAllStringSubmatch(line, -1) {
				d.links = append(d.links, m[1])
			}
		}
	}
	if block != nil {
		t.Fatalf("%s: a code block does not end", name)
	}
	return d
}

// block is the only code block of a language.
func (d document) block(t *testing.T, language string) string {
	t.Helper()
	var found []string
	for _, b := range d.blocks {
		if b.language == language {
			found = append(found, b.text)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks of %q, not one", d.path, len(found), language)
	}
	return found[0]
}

// program is the only block of Go that is a whole program.
func (d document) program(t *testing.T) string {
	t.Helper()
	i := slices.IndexFunc(d.blocks, func(b codeBlock) bool {
		return b.language == "go" &&
			strings.HasPrefix(b.text, "package main\n")
	})
	if i < 0 {
		t.Fatalf("%s has no program", d.path)
	}
	return d.blocks[i].text
}

// documents are all Markdown files.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	walk(t, ".", func(name string) {
		if path.Ext(name) == ".md" {
			all = append(all, readDocument(t, name))
		}
	})
	return all
}

const chinese = ".zh-CN.md"

// comments are what a translation may change in a code block.
var comments = regexp.MustCompile(`(?m)\s*(//|#).*$`)

// TestTranslations: a document and its translation have the same sections, code, commands and links.
func TestTranslations(t *testing.T) {
	pairs := 0
	for _, translated := range documents(t) {
		base, ok := strings.CutSuffix(translated.path, chinese)
		if !ok {
			continue
		}
		pairs++
		original := readDocument(t, base+".md")
		if !slices.Equal(original.levels, translated.levels) {
			t.Errorf("%s: headings %v, the original's %v", translated.path, translated.levels, original.levels)
		}
		if len(original.blocks) != len(translated.blocks) {
			t.Errorf("%s: %d code blocks, the original has %d", translated.path, len(translated.blocks), len(original.blocks))
			continue
		}
		for i, b := range original.blocks {
			got := translated.blocks[i]
			got.text, b.text = comments.ReplaceAllString(got.text, ""), comments.ReplaceAllString(b.text, "")
			if got != b {
				t.Errorf("%s: code block %d differs from the original's beyond comments:\n%s\noriginal:\n%s", translated.path, i+1,
					got.text, b.text)
			}
		}
		same(t, translated.path, "code", original.spans, translated.spans)
		same(t, translated.path, "links", untranslated(original.links), untranslated(translated.links))
	}
	if pairs == 0 {
		t.Error("no translation found")
	}
}

// untranslated points links to translations at the originals, and at whole documents: headings have other names.
func untranslated(links []string) []string {
	var originals []string
	for _, link := range links {
		target, _, _ := strings.Cut(link, "#")
		if base, ok := strings.CutSuffix(target, chinese); ok {
			target = base + ".md"
		}
		originals = append(originals, target)
	}
	return originals
}

// same compares without regard to order and repetition.
func same(t *testing.T, name, what string, original, translated []string) {
	t.Helper()
	for _, s := range original {
		if !slices.Contains(translated, s) {
			t.Errorf("%s: lacks the original's %s %q", name, what, s)
		}
	}
	for _, s := range translated {
		if !slices.Contains(original, s) {
			t.Errorf("%s: the original has no %s %q", name, what, s)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, d := range documents(t) {
		for _, link := range d.links {
			target, _, _ := strings.Cut(link, "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(d.path), target)); err != nil {
				t.Errorf("%s: %v", d.path, err)
			}
		}
	}
}

// goCommand runs the go command where dir says, and returns its standard output.
func goCommand(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	// go test's cache sees what a test asks for itself, not what its children do.
	_ = os.Getenv("VGGO_KERNEL")
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("go %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// TestCommands runs every vggo command of the README and of docs/commands.md that takes seconds and needs no file of
// the user's, and holds the committed picture against what the document says makes it.
func TestCommands(t *testing.T) {
	var commands []string
	for _, name := range []string{"README.md", "docs/commands.md"} {
		d := readDocument(t, name)
		commands = append(commands, d.spans...)
		for _, b := range d.blocks {
			if b.language == "sh" {
				commands = append(commands, strings.Split(b.text, "\n")...)
			}
		}
	}
	root := t.TempDir()
	vggo := filepath.Join(root, "vggo")
	if runtime.GOOS == "windows" {
		vggo += ".exe"
	}
	goCommand(t, ".", nil, "build", "-o", vggo, "./cmd/vggo")
	for _, folder := range []string{"docs/examples", "page/static/examples", "weights/testdata"} {
		if err := os.CopyFS(filepath.Join(root, folder), os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
	}
	users := []string{"photo.jpg", "photos/", "val/"}
	answers := map[string]string{"docs/examples/boot.png": "1      99.75 %      9  Ankle boot",
		"page/static/examples/cat.jpg": "cat"}
	ran := map[string]bool{}
	for _, command := range commands {
		words := strings.Fields(strings.Replace(command, "go run ./cmd/vggo", "vggo", 1))
		if len(words) < 2 || words[0] != "vggo" {
			continue
		}
		cmd := exec.Command(vggo, words[1:]...)
		switch {
		// minutes, or for ever; --help refuses a flag that does not exist
		case slices.Contains([]string{"bench", "calibrate", "serve", "train"}, words[1]):
			cmd.Args = append(cmd.Args, "--help")
		case words[1] == "pull", len(words) == 2 && words[1] != "version", slices.ContainsFunc(words,
			func(w string) bool { return slices.Contains(users, w) }):
			continue // the user's files; the mere name of a command
		}
		ran[words[1]] = true
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil || len(out) == 0 && !slices.Contains(words, "-o") {
			t.Errorf("%s: %v\n%s", command, err, out)
		} else if words[1] == "classify" && (answers[words[2]] == "" || !bytes.Contains(out, []byte(answers[words[2]]))) {
			t.Errorf("%s: not %q?\n%s", command, answers[words[2]], out)
		}
	}
	if want := []string{"arch", "bench", "calibrate", "classify", "convert", "explain", "features", "field", "join",
		"models", "serve", "similar", "train", "version"}; !slices.Equal(slices.Sorted(maps.Keys(ran)), want) {
		t.Errorf("the documents show %v, not each of %v", slices.Sorted(maps.Keys(ran)), want)
	}
	drawn, err := os.ReadFile(filepath.Join(root, "vgg16.svg"))
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("docs/images/vgg16.svg")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(drawn, committed) {
		t.Error("docs/images/vgg16.svg is not what vggo arch draws today: run make images")
	}
}

// TestOutsideModule builds the program of docs/service.md in a module of its own, as that says to. Our own requirements
// stand in for what go mod tidy would find: nothing needs to be fetched that is not here already.
func TestOutsideModule(t *testing.T) {
	guide := readDocument(t, "docs/service.md")
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	const here = "=> ../vggo\n"
	entry := guide.block(t, "")
	if !strings.Contains(entry, here) {
		t.Fatalf("the replace line of docs/service.md does not end in %q:\n%s", here, entry)
	}
	requirements, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": strings.Replace(string(requirements), "module "+module+"\n", "module example.com/outside\n", 1) +
			strings.Replace(entry, here, "=> "+filepath.ToSlash(root)+"\n", 1),
		"go.sum":  string(sums),
		"main.go": guide.program(t),
	} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := goCommand(t, outside, []string{"GOWORK=off", "CGO_ENABLED=0"}, "run", ".")
	if want := guide.block(t, "text"); got != want {
		t.Errorf("the program of docs/service.md prints\n%s\nnot\n%s", got, want)
	}
}

// declared collects what files declare: functions, types, variables and constants as in "nn.Compile", methods as in
// "Plan.Forward" and "nn.Plan.Forward", functions by their mere name too.
func declared(files []source) map[string]bool {
	names := map[string]bool{}
	for _, s := range files {
		pkg := s.Name.Name
		for _, decl := range s.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					receiver := d.Recv.List[0].Type
					if pointer, ok := receiver.(*ast.StarExpr); ok {
						receiver = pointer.X
					}
					if typ, ok := receiver.(*ast.Ident); ok {
						name = typ.Name + "." + name
					}
				}
				names[name], names[pkg+"."+name] = true, true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[pkg+"."+spec.Name.Name] = true
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							names[pkg+"."+name.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}

// TestArchitectureIsTrue: ARCHITECTURE.md and docs/invariants.md name functions, tests and files that exist, and the
// former's table has a row for every package.
func TestArchitectureIsTrue(t *testing.T) {
	own := parse(t, ".")
	own = append(own, parse(t, "internal/kernel/_asm")...) // which walk passes over
	names := declared(own)
	identifier := regexp.MustCompile(`^[A-Za-z]\w*(\.[A-Za-z]\w*)+$`)
	test := regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`)
	d := readDocument(t, "ARCHITECTURE.md")
	for _, span := range append(readDocument(t, "docs/invariants.md").spans, d.spans...) {
		switch {
		case strings.HasPrefix(span, "golang.org/"), strings.ContainsAny(span, " ,:["):
		case strings.Contains(span, "/") || slices.Contains([]string{".go", ".md", ".work"}, path.Ext(span)):
			if files, err := filepath.Glob(span); err != nil || len(files) == 0 {
				t.Errorf("%s: there is no file %s", d.path, span)
			}
		case identifier.MatchString(span), test.MatchString(span):
			if !names[span] {
				t.Errorf("%s: nothing is called %s", d.path, span)
			}
		}
	}
	text, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllSubmatch(text, -1) {
		for _, pkg := range strings.Split(string(row[1]), ", ") {
			rows[strings.Trim(pkg, "`")] = true
		}
	}
	packages := map[string]bool{}
	for _, s := range own {
		packages[path.Dir(s.path)] = true
	}
	for pkg := range packages {
		if !rows[pkg] {
			t.Errorf("%s: there is no row for package %s", d.path, pkg)
		}
	}
	for row := range rows {
		if !packages[row] {
			t.Errorf("%s: there is no package %s", d.path, row)
		}
	}
}
