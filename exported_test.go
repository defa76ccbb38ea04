package vggo_test

import (
	"go/ast"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// public are the packages that a program imports.
var public = []string{"", "arch", "bench", "embedded", "explain", "hub", "nn", "page", "report", "serve",
	"tensor", "train",
	"vision", "weights"}

// forCallers are exported names that nothing here uses outside their package, and who they are for.
var forCallers = map[string]string{
	"LowMemoryLimit":         "who sets a memory limit of his own beside Options.LowMemory",
	"train.DriftError":       "who tells one failed rank from another",
	"train.OtherRankError":   "the same",
	"train.DecodeRecipe":     "whose recipe is not in a file",
	"train.Optimiser.Polyak": "whose training loop is his own: Plan.Forward, Plan.Backward, Optimiser.Step",
	"vision.CaffeRGB":        "who prepares pictures for the paper's weights that were turned to red first",
}

// answering are methods that interfaces ask for.
var answering = regexp.MustCompile(`^(Error|Unwrap|String|Kind|IsZero|Len|Less|Swap|Read|Write|Close|` +
	`(Un)?[Mm]arshal\w+|\w+HTTP)$`)

// met is what of a type its users meet: of a struct the fields that are exported or embedded.
func met(typ ast.Expr) (nodes []ast.Node) {
	s, ok := typ.(*ast.StructType)
	if !ok {
		return []ast.Node{typ}
	}
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 || slices.ContainsFunc(f.Names, (*ast.Ident).IsExported) {
			nodes = append(nodes, f.Type)
		}
	}
	return nodes
}

// TestExportedIsUsed: what a package exports another one uses, or an example, or a document, or it is the type of
// something exported; or forCallers says who it is for. Names are compared, not what they stand for.
func TestExportedIsUsed(t *testing.T) {
	used := map[string]map[string]bool{} // packages by the names that they select
	type export struct{ pkg, name, selected, at string }
	var exports []export
	types := map[string]map[string]bool{} // named in what a package exports, by package
	for _, s := range parse(t, ".") {
		pkg := s.pkg()
		if s.isTest() && strings.HasPrefix(path.Base(s.path), "example") {
			pkg = "an example"
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			name := ""
			switch n := n.(type) {
			case *ast.SelectorExpr:
				name = n.Sel.Name
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok {
					name = key.Name
				}
			}
			if name != "" && used[name] == nil {
				used[name] = map[string]bool{}
			}
			if name != "" {
				used[name][pkg] = true
			}
			return true
		})
		if s.isTest() || !slices.Contains(public, pkg) {
			continue
		}
		if types[pkg] == nil {
			types[pkg] = map[string]bool{}
		}
		add := func(owner string, id *ast.Ident, named ...ast.Node) {
			if !id.IsExported() || owner != "" && !ast.IsExported(owner) {
				return
			}
			name := id.Name
			if owner != "" {
				name = owner + "." + name
			}
			exports = append(exports, export{pkg, name, id.Name, s.line(id)})
			for _, n := range named {
				ast.Inspect(n, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok {
						types[pkg][id.Name] = true
					}
					return true
				})
			}
		}
		for _, d := range s.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				owner := ""
				if d.Recv != nil {
					ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
						if id, ok := n.(*ast.Ident); ok && owner == "" {
							owner = id.Name
						}
						return true
					})
				}
				if owner == "" || !answering.MatchString(d.Name.Name) {
					add(owner, d.Name, d.Type)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						add("", spec.Name, met(spec.Type)...)
					case *ast.ValueSpec:
						if d.Lparen.IsValid() {
							continue // one of several values: who uses some of them knows them all
						}
						for _, id := range spec.Names {
							add("", id)
						}
					}
				}
			}
		}
	}
	documents := map[string]bool{}
	walk(t, ".", func(name string) {
		if path.Ext(name) != ".md" {
			return
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\w\.([A-Z]\w*)`).FindAllSubmatch(text, -1) {
			documents[string(m[1])] = true
		}
	})
	unused := maps.Clone(forCallers)
	for _, e := range exports {
		others := len(used[e.selected])
		if used[e.selected][e.pkg] {
			others--
		}
		if others > 0 || documents[e.selected] || types[e.pkg][e.name] {
			continue
		}
		full := strings.TrimPrefix(e.pkg+"."+e.name, ".")
		if forCallers[full] == "" {
			t.Errorf("%s: %s is exported, and nobody outside uses it", e.at, full)
		}
		delete(unused, full)
	}
	for _, name := range slices.Sorted(maps.Keys(unused)) {
		t.Errorf("forCallers lists %s, which is used or gone", name)
	}
}
