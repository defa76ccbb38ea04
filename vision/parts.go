package vision

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/vggo/vggo/internal/printable"
)

// Part is a part of a data set, in a folder or file of its own.
type Part struct {
	Name string // below the data set's folder
	For  Split
}

// PartsError says that it cannot be told which of a data set's folders to take.
type PartsError struct {
	Path    string
	Fault   string
	Parts   []string // folders below Path that may be meant: each can be named alone
	Folders []string // those that would be the classes if none of them is a part; nil where they cannot be
	Flat    bool     // the part's pictures lie in no class folders
}

func (e *PartsError) Error() string { return e.Path + ": " + e.Fault }

// tree is a folder or an archive to look around in. What is hidden, its name beginning with a dot, is not seen.
type tree interface {
	// look lists the folders in dir, sorted, and counts the pictures that lie in it. dir has slashes; "" is the top.
	look(dir string) (folders []string, pictures int, err error)
}

// partWords are the words that name a part.
var partWords = map[string]Split{
	"train": Train, "training": Train, "trn": Train, "trainset": Train, "traindata": Train, "trainval": Train,
	"entrainement": Train, "entraînement": Train, "apprentissage": Train, "entrenamiento": Train, "treino": Train,
	"treinamento": Train, "训练": Train, "训练集": Train,
	"val": Validation, "valid": Validation, "validate": Validation, "validation": Validation, "valset": Validation,
	"validset": Validation, "validationset": Validation, "dev": Validation, "devset": Validation, "eval": Validation,
	"evaluation": Validation, "validación": Validation, "validacion": Validation, "validação": Validation,
	"validacao": Validation, "validierung": Validation, "验证": Validation, "验证集": Validation,
	"test": Test, "testing": Test, "tst": Test, "testset": Test, "testdata": Test, "holdout": Test,
	"prueba": Test, "pruebas": Test, "teste": Test, "测试": Test, "测试集": Test,
}

// fillers are words that say nothing beside one that names a part: "train_set", "Test-Images".
var fillers = []string{"set", "sets", "data", "dataset", "images", "image", "imgs", "img", "pics", "pictures", "photos",
	"split", "part", "folder", "dir", "samples", "files", "class", "classes", "the", "new", "final"}

// noClasses are words for what lies beside a part and is no class.
var noClasses = []string{"predict", "prediction", "predictions", "pred", "unlabeled", "unlabelled", "unsup",
	"annotation", "annotations", "label", "labels", "mask", "masks", "submission", "submissions", "meta", "metadata",
	"doc", "docs", "scripts", "models", "weights", "checkpoints", "logs", "extra"}

// systemFolders are what systems leave in folders and archives. Those that begin with a dot are not seen at all.
var systemFolders = []string{"__MACOSX", "__pycache__", "@eaDir", "lost+found", "$RECYCLE.BIN",
	"System Volume Information"}

// words splits a name where people set words apart: at spaces, signs, figures and capitals. They come out in lower
// case.
func words(name string) []string {
	for _, apart := range []string{"hold-out", "hold_out", "hold out"} { // one word
		if i := strings.Index(strings.ToLower(name), apart); i >= 0 && len(strings.ToLower(name)) == len(name) {
			name = name[:i] + "holdout" + name[i+len(apart):]
		}
	}
	var found []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			found = append(found, strings.ToLower(string(word)))
		}
		word = word[:0]
	}
	var before rune
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			before = r
			continue
		case unicode.IsUpper(r) && unicode.IsLower(before), unicode.IsDigit(r) != unicode.IsDigit(before):
			end()
		}
		word = append(word, r)
		before = r
	}
	end()
	return found
}

// partOf tells which part a name means. rest is what else it says: "seg" of "seg_train".
func partOf(name string) (split Split, rest string, ok bool) {
	if split, ok = partWords[strings.ToLower(name)]; ok { // "tRaIn" is one word
		return split, "", true
	}
	var others []string
	for _, word := range words(name) {
		of, isPart := partWords[word]
		switch {
		case isPart && ok && of != split:
			return 0, "", false // "train_test_split"
		case isPart:
			split, ok = of, true
		case !slices.Contains(fillers, word) && len([]rune(word)) > 1 && !unicode.IsDigit([]rune(word)[0]):
			others = append(others, word)
		}
	}
	return split, strings.Join(others, " "), ok
}

// isFiller reports whether a name says nothing: "data", "images".
func isFiller(name string) bool {
	for _, word := range words(name) {
		if _, isPart := partWords[word]; !isPart && !slices.Contains(fillers, word) {
			return false
		}
	}
	return true
}

// folderLayout is where in a data set the class folders lie.
type folderLayout struct {
	root   string // holds them; "" is the top
	part   string // that root belongs to; "" where there are no parts
	parts  []Part
	passed []string // folders that are neither parts nor classes
	why    string   // this part was taken, where another is called rather as what was asked for
}

// maxWrappers is how many folders may lie around the data, each alone in the one before.
const maxWrappers = 8

// findLayout finds the class folders of a part. name is the data set's, for errors. unwrap says that folders around all
// others, as an archive's, are no classes.
func findLayout(t tree, name string, split Split, unwrap bool) (folderLayout, error) {
	dir := ""
	var passed []string // beside folders around the data
	for range maxWrappers {
		folders, pictures, err := t.look(dir)
		if err != nil {
			return folderLayout{}, err
		}
		folders, system := withoutSystem(folders)
		if split != Whole {
			p, err := partsAmong(t, dir, folders, split)
			if fault, ok := err.(*PartsError); ok {
				fault.Path = path.Join(name, dir)
			}
			if err != nil {
				return p, err
			}
			if p.parts != nil {
				p.passed = append(append(p.passed, system...), passed...)
				return p.choose(t, name, split)
			}
		}
		if pictures > 0 {
			break
		}
		beside, err := dataAlone(t, dir, &folders)
		if err != nil {
			return folderLayout{}, err
		}
		if len(folders) != 1 {
			break
		}
		inside, within, err := t.look(path.Join(dir, folders[0]))
		if err != nil {
			return folderLayout{}, err
		}
		if inside, _ = withoutSystem(inside); within > 0 || len(inside) == 0 { // a class
			break
		}
		dir = path.Join(dir, folders[0])
		if passed = append(passed, beside...); len(beside) > 0 {
			unwrap = true
		}
	}
	if !unwrap {
		dir = "" // it is for whoever asks to say that it is too high
	}
	folders, _, err := t.look(dir)
	if err != nil {
		return folderLayout{}, err
	}
	folders, system := withoutSystem(folders)
	p := folderLayout{root: dir, passed: append(system, passed...)}
	if split != Whole {
		err = sameBelow(t, path.Join(name, dir), dir, folders)
	}
	return p, err
}

// dataAlone leaves of folders the one whose name says nothing, as "images" or "data", where the others are called as
// what lies beside data ("labels") and is none. It returns these.
func dataAlone(t tree, dir string, folders *[]string) (beside []string, err error) {
	var data []string
	for _, name := range *folders {
		inside, pictures, err := t.look(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if isFiller(name) && len(inside)+pictures > 0 {
			data = append(data, name)
		} else if slices.ContainsFunc(words(name), func(word string) bool { return slices.Contains(noClasses, word) }) {
			beside = append(beside, name)
		}
	}
	if len(data) != 1 || len(beside) != len(*folders)-1 {
		return nil, nil
	}
	*folders = data
	return beside, nil
}

// withoutSystem parts folders of data from those that systems leave.
func withoutSystem(folders []string) (data, system []string) {
	for _, name := range folders {
		if slices.Contains(systemFolders, name) {
			system = append(system, name)
		} else {
			data = append(data, name)
		}
	}
	return data, system
}

// partsAmong finds which folders are parts; none where they are classes. A name alone may be a class ("train", beside
// "bus"), so where not all names mean parts, two different parts do, or what the folders hold. split is the part that
// is looked for.
func partsAmong(t tree, dir string, folders []string, split Split) (p folderLayout, err error) {
	var others []string
	kinds := map[Split]bool{}
	beside := map[string]map[Split]bool{} // kinds of parts by what else their names say
	for _, name := range folders {
		if of, rest, ok := partOf(name); ok {
			if beside[rest] == nil {
				beside[rest] = map[Split]bool{}
			}
			beside[rest][of] = true
		}
	}
	for _, name := range folders {
		of, rest, ok := partOf(name)
		if !ok || rest != "" && len(beside[rest]) < 2 { // "seg_train" is one beside "seg_test"
			others = append(others, name)
			continue
		}
		kinds[of] = true
		p.parts = append(p.parts, Part{path.Join(dir, name), of})
	}
	p.passed = others
	if len(others) == 0 || len(kinds) != 1 {
		return p, nil
	}
	// One kind of part beside other folders.
	var sets [][]string
	flat := false
	for _, part := range p.parts {
		classes, pictures, err := t.look(part.Name)
		if err != nil {
			return p, err
		}
		flat = flat || pictures > 0
		sets = append(sets, classes)
	}
	var unsure []string
	for _, name := range others {
		folders, pictures, err := t.look(path.Join(dir, name))
		if err != nil {
			return p, err
		}
		some, err := hasPictures(t, path.Join(dir, name), 0)
		if err != nil {
			return p, err
		}
		switch {
		case !some, slices.ContainsFunc(words(name), func(word string) bool { return slices.Contains(noClasses, word) }):
		case flat: // folders of pictures like the part's own: classes
			return folderLayout{}, nil
		case pictures > 0 && len(folders) == 0, slices.ContainsFunc(sets,
			func(set []string) bool { return alike(set, folders) }):
		default:
			unsure = append(unsure, name)
		}
	}
	if len(unsure) == 0 {
		return p, nil
	}
	first := path.Base(p.parts[0].Name)
	e := &PartsError{
		Fault: fmt.Sprintf("%s is called as a part of a data set, and beside it %s holds other folders: is it a part, or "+
			"a class?", first, unsure[0]),
		Parts: []string{first}, Folders: folders,
	}
	if split == Train && p.parts[0].For != Train { // the other may hold the part to learn from
		e.Parts = unsure[:1]
	}
	return p, e
}

// hasPictures reports whether there is a picture in a folder or below.
func hasPictures(t tree, dir string, depth int) (bool, error) {
	folders, pictures, err := t.look(dir)
	if err != nil || pictures > 0 {
		return pictures > 0, err
	}
	for _, name := range folders[:min(len(folders), 100)] {
		if depth == maxWrappers {
			break
		}
		if some, err := hasPictures(t, path.Join(dir, name), depth+1); err != nil || some {
			return some, err
		}
	}
	return false, nil
}

// alike reports whether two lists of folders are the same classes, a few of which may be missing in one.
func alike(a, b []string) bool {
	common := 0
	for _, name := range a {
		if slices.Contains(b, name) {
			common++
		}
	}
	return common >= 2 && 2*common >= len(a)+len(b)-common
}

// Folders that hold the same folders may be parts whose names are not known; more than so many are rather classes.
const mostParts = 10

// sameBelow is an error where all folders hold the same folders, and it cannot be told whether those above or those
// below are the classes.
func sameBelow(t tree, name, dir string, folders []string) error {
	if len(folders) < 2 || len(folders) > mostParts {
		return nil
	}
	var first []string
	for i, folder := range folders {
		below, pictures, err := t.look(path.Join(dir, folder))
		if err != nil {
			return err
		}
		if below, _ = withoutSystem(below); i == 0 {
			first = below
		}
		if pictures > 0 || !alike(first, below) {
			return nil
		}
	}
	e := &PartsError{Path: name, Parts: folders, Folders: folders,
		Fault: fmt.Sprintf("%s hold the same folders (%s): are they parts of a data set, or classes?", listed(folders),
			listed(first))}
	if !slices.ContainsFunc(first, func(name string) bool { _, _, ok := partOf(name); return !ok }) {
		e.Parts, e.Fault = nil, fmt.Sprintf("each of %s holds %s: parts below classes are not read apart", listed(folders),
			listed(first))
	}
	return e
}

// listed is a few names for a message.
func listed(names []string) string {
	if len(names) > maxListed {
		return strings.Join(names[:maxListed], ", ") + fmt.Sprintf(" and %d more", len(names)-maxListed)
	}
	return printable.And(names)
}

// of is the parts of a kind.
func (p folderLayout) of(split Split) (names []string) {
	for _, part := range p.parts {
		if part.For == split {
			names = append(names, part.Name)
		}
	}
	return names
}

// choose takes the part that is asked for. To test on, a part for validation will do where there is none to test on, or
// where its pictures lie in no class folders, as those of competitions do.
func (p folderLayout) choose(t tree, name string, split Split) (folderLayout, error) {
	kinds := []Split{split}
	if split == Test {
		kinds = append(kinds, Validation)
	}
	var all []string
	for _, part := range p.parts {
		all = append(all, part.Name)
	}
	var flat string
	for i, kind := range kinds {
		named := p.of(kind)
		switch len(named) {
		case 0:
			if i == 0 && len(kinds) > 1 {
				p.why = "there is no part to test on"
			}
			continue
		case 1:
		default:
			return p, &PartsError{Path: name, Fault: fmt.Sprintf("%s are each a part to %s on", listed(named), split),
				Parts: named}
		}
		root, err := unwrapPart(t, named[0])
		if err != nil {
			return p, err
		}
		folders, pictures, err := t.look(root)
		if err != nil {
			return p, err
		}
		if folders, _ = withoutSystem(folders); len(folders) == 0 {
			flat = fmt.Sprintf("%s holds no class folders", root)
			if pictures > 0 {
				flat = fmt.Sprintf("the %d pictures in %s lie in no class folders: what they show is not told", pictures, root)
			}
			p.why = flat
			continue
		}
		if i == 0 {
			p.why = ""
		}
		p.root, p.part = root, named[0]
		return p, nil
	}
	if flat != "" {
		return p, &PartsError{Path: name, Fault: flat, Flat: true}
	}
	fault := &PartsError{Path: name, Fault: fmt.Sprintf("there is no part to %s on, only %s", split, listed(all)),
		Parts: all}
	if split == Train && len(p.passed) > 0 { // one that is called otherwise
		fault.Fault += fmt.Sprintf(", beside %s", listed(p.passed))
		fault.Parts = nil
		for _, other := range p.passed {
			fault.Parts = append(fault.Parts, path.Join(path.Dir(all[0]), other))
		}
	}
	return p, fault
}

// unwrapPart goes into a folder that stands alone in a part and says nothing more: "seg_train/seg_train".
func unwrapPart(t tree, part string) (string, error) {
	dir := part
	for range maxWrappers {
		folders, pictures, err := t.look(dir)
		if err != nil {
			return "", err
		}
		folders, _ = withoutSystem(folders)
		if _, err := dataAlone(t, dir, &folders); err != nil {
			return "", err
		}
		if len(folders) != 1 || pictures > 0 || !isFiller(folders[0]) && fold(folders[0]) != fold(path.Base(part)) {
			break
		}
		dir = path.Join(dir, folders[0])
	}
	return dir, nil
}
