package weights

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/weights/internal/format"
)

// Matched is a file that holds every parameter of a network.
type Matched struct {
	Family string // whose names the file uses: "vggo", "torchvision", "timm", "Keras" …; empty where they say nothing
	// the name of the vision.Preprocess that the family's pictures come by; empty where its names tell nothing
	Preprocess string
	Guess      bool // the parameters were found by order and shapes alone, since the names say nothing

	file   *File
	source map[string]format.Source
}

// MatchError is a file that does not hold a network's parameters, all of them and nothing else.
type MatchError struct {
	Path      string
	Family    string   // the names that fit best; empty when no name of any family occurs in the file
	Missing   []string // by the file's names
	Extra     []string
	Misshapen []Misshape
	// the word under which alone the file has all of the network's parameters; empty where there is none
	Under   string
	Others  []string      // the file's other parts
	Classes int           // of the file, where it fits but for their number; else 0
	Shard   bool          // the file is one shard of several
	State   bool          // the file is the state of a training run, with the optimiser's values
	Told    *arch.Network // that the file itself tells, and which is another; nil where it tells none
	Split   *Split        // how the file keeps a layer's weights in two tensors; nil where it does not
}

// Split is a way of training that keeps one tensor as two, and what puts them together before a network is saved.
type Split struct{ What, Remedy string }

// splits lists them by the ends of names.
var splits = []struct {
	ends []string
	Split
}{
	{[]string{"weight_g", "weight_v"}, Split{"weight normalisation", "torch.nn.utils.remove_weight_norm(layer)"}},
	{[]string{"weight_orig", "weight_mask"}, Split{"pruning", "torch.nn.utils.prune.remove(layer, 'weight')"}},
	{[]string{"weight_orig", "weight_u"}, Split{"spectral normalisation", "torch.nn.utils.remove_spectral_norm(layer)"}},
	{[]string{"parametrizations.weight.original0", "parametrizations.weight.original1"},
		Split{"weight normalisation", "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')"}},
	{[]string{"parametrizations.weight.original"},
		Split{"a parametrisation", "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')"}},
}

// splitOf finds the way by which names keep one tensor as two.
func splitOf(names []string) *Split {
	for _, s := range splits {
		all := true
		for _, end := range s.ends {
			all = all && slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, "."+end) })
		}
		if all {
			return &s.Split
		}
	}
	return nil
}

// Misshape is a tensor whose shape is not the network's.
type Misshape struct {
	Name      string
	Got, Want []int
}

func (e *MatchError) Error() string { return e.fault() + e.more() }

// more is what else of the file bears on it.
func (e *MatchError) more() string {
	switch {
	case e.Split != nil:
		return fmt.Sprintf("; %s keeps a layer's weights in two tensors, which are put together in Python alone",
			e.Split.What)
	case e.Shard:
		return "; " + oneShard
	case e.Under != "":
		return fmt.Sprintf("; its part %q alone fits", e.Under)
	case len(e.Others) > 0:
		return fmt.Sprintf("; the file has other parts: %s", some(e.Others))
	}
	return ""
}

// Empty reports whether the file holds no weights at all.
func (e *MatchError) Empty() bool { return !e.State && e.Family == "" && len(e.Extra) == 0 }

func (e *MatchError) fault() string {
	switch {
	case e.State:
		return e.Path + ": the state of a training run, not weights alone: the optimiser's values lie beside them"
	case e.Empty():
		return e.Path + ": the file holds no weights"
	case e.Family == "":
		return fmt.Sprintf("%s: another network's weights: it has %s; wanted are %s under the names of %s",
			e.Path, some(e.Extra), some(e.Missing), families)
	}
	var faults []string
	if len(e.Missing) > 0 {
		faults = append(faults, fmt.Sprintf("%d missing (%s)", len(e.Missing), some(e.Missing)))
	}
	if len(e.Extra) > 0 {
		faults = append(faults, fmt.Sprintf("%d not the network's (%s)", len(e.Extra), some(e.Extra)))
	}
	if len(e.Misshapen) > 0 {
		var shapes []string
		for _, m := range e.Misshapen {
			shapes = append(shapes, fmt.Sprintf("%s is %s, not %s", m.Name, shapeText(m.Got), shapeText(m.Want)))
		}
		faults = append(faults, fmt.Sprintf("%d of the wrong shape (%s)", len(shapes), some(shapes)))
	}
	return fmt.Sprintf("%s: the weights, under %s's names, do not fit the network: %s", e.Path, e.Family,
		strings.Join(faults, "; "))
}

// some names the first three of a list.
func some(list []string) string {
	if len(list) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:3], ", "), len(list)-3)
	}
	return strings.Join(list, ", ")
}

func shapeText(shape []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "x")
}

// Match finds a network's parameters in a file: as the file itself describes them (ONNX, Keras), else under the names
// of a known family, whatever wraps these, else by their order and shapes. A file that lacks one, holds one of another
// shape, or holds anything else, is a *MatchError.
func Match(f *File, placed []arch.Placed) (*Matched, error) { return MatchLayers(f, placed, Layers{}) }

// Layers says which of a network's layers a file must have, for who needs a part alone.
type Layers struct {
	// nil: all. Parameters of others may be missing or of any shape; then they are not Matched.
	Wanted func(layer string) bool
	// Beside allows tensors that are none of the network's, under names that tell layers by words. Otherwise, and where
	// not all layers are wanted, another network's fully connected layers are allowed: whatever else is there may belong
	// between those that are wanted, or numbers in names count other layers.
	Beside bool
}

// MatchLayers is Match for some of a network's layers.
func MatchLayers(f *File, placed []arch.Placed, layers Layers) (*Matched, error) {
	search := newSearch(f, placed, layers)
	if search.matched != nil {
		return search.matched, nil
	}
	fault := search.best
	if search.most == 0 {
		fault.Family = ""
	}
	fault.Shard = shardName.MatchString(f.Path)
	fault.State = f.Metadata[StateNote] != ""
	if told, err := f.Network(); err == nil && !hasParameters(told, placed) {
		fault.Told = told.Network
	}
	for _, other := range f.Others {
		if other.Unread == "" {
			fault.Others = append(fault.Others, other.Name)
		}
	}
	if len(fault.Missing) > 0 {
		fault.Split = splitOf(fault.Extra)
	}
	fault.Classes = otherClasses(fault, placed)
	if len(f.list.Tensors) <= maxViewed {
		fault.Under = f.partThatFits(placed, layers)
	}
	return nil, fault
}

// hasParameters reports whether a network has the parameters of placed layers, by their shapes.
func hasParameters(net *arch.Placement, placed []arch.Placed) bool {
	shapes := func(layers []arch.Placed) (list []string) {
		for _, layer := range layers {
			for _, p := range layer.Params {
				list = append(list, shapeText(p.Shape))
			}
		}
		return list
	}
	return slices.Equal(shapes(net.Layers), shapes(placed))
}

// otherClasses is the number of classes of a file that fits the network but for that; else 0.
func otherClasses(e *MatchError, placed []arch.Placed) int {
	if len(e.Missing)+len(e.Extra) > 0 {
		return 0
	}
	classes := 0
	for _, m := range e.Misshapen {
		axis := len(m.Got) - 1 // of weights in, out; biases have one
		if len(m.Got) > 1 && len(m.Want) > 1 && m.Got[0] != m.Want[0] {
			axis = 0
		}
		same := slices.Clone(m.Got)
		if axis < 0 || axis >= len(m.Want) {
			return 0
		}
		same[axis] = m.Want[axis]
		n := m.Got[axis]
		if !slices.Equal(same, m.Want) || m.Want[axis] != placed[len(placed)-1].Out.C || classes > 0 && classes != n {
			return 0
		}
		classes = n
	}
	return classes
}

// search tries one naming after another until one fits.
type search struct {
	f       *File
	placed  []arch.Placed
	layers  Layers
	matched *Matched
	best    *MatchError // of those that do not
	most    int         // of its names occur in the file
	fits    int         // of these have the right shape
	convs   bool        // some convolution's occur, by some naming
}

func newSearch(f *File, placed []arch.Placed, layers Layers) *search {
	search := &search{f: f, placed: placed, layers: layers}
	if f.described != nil {
		search.try(f.described.Naming, nil)
	}
	for n, v := range f.readings(placed, layers.Wanted != nil) {
		search.try(n, v)
		if search.matched != nil {
			break
		}
	}
	if n, ok := f.toldInOrder(placed); ok && search.matched == nil {
		search.try(n, nil)
	}
	if search.matched == nil && (!search.convs || search.fits > 0 && len(search.best.Missing)+
		len(search.best.Extra) == 0) {
		if n, ok := f.guess(placed, layers.Wanted); ok {
			search.try(n, nil)
		}
	}
	return search
}

// try holds the file's names, as a view has them, against a family's.
func (s *search) try(n format.Naming, v view) {
	found, sources, fault := compare(s.f, s.placed, n, v, s.layers)
	s.convs = s.convs || s.hasConv(n, v)
	if fault == nil {
		s.matched = &Matched{Family: n.Family, Preprocess: n.Preprocess, Guess: n.Guess, file: s.f, source: sources}
		return
	}
	fits := found - len(fault.Misshapen)
	faults := func(e *MatchError) int { return len(e.Missing) + len(e.Extra) + len(e.Misshapen) }
	if s.best == nil || cmp.Or(cmp.Compare(fits, s.fits), cmp.Compare(found, s.most)) > 0 || fits == s.fits &&
		found == s.most && found > 0 && faults(fault) < faults(s.best) {
		s.best, s.most, s.fits = fault, found, fits
	}
}

// hasConv reports whether the file has any convolution's weights under a family's names. Those of a classifier alone
// say little: many are called so.
func (s *search) hasConv(n format.Naming, v view) bool {
	for _, layer := range s.placed {
		if _, conv := layer.Op.(arch.Conv); !conv {
			continue
		}
		for _, p := range layer.Params {
			name := n.Source[p.Name].Name
			if v != nil {
				name = v[name]
			}
			if t, _ := s.f.Info(name); len(t.Shape) == 4 {
				return true
			}
		}
	}
	return false
}

// partThatFits is the word under which alone a file has a network, beside other tensors: a loss's own network, for one.
func (f *File) partThatFits(placed []arch.Placed, layers Layers) string {
	whole := format.Part{Tensors: f.list.Tensors}
	tried := map[string]bool{}
	for _, e := range f.list.Tensors {
		word, _, dotted := strings.Cut(e.Name, ".")
		if !dotted || tried[word] || len(tried) > maxCommon {
			continue
		}
		tried[word] = true
		of := &File{Path: f.Path, Format: f.Format, Part: word}
		of.contents.Tensors = under(whole, word).Tensors
		if len(of.contents.Tensors) == len(f.list.Tensors) || of.hold(of.contents.Tensors) != nil {
			continue
		}
		if m := newSearch(of, placed, layers).matched; m != nil && !m.Guess {
			return format.Join(f.Part, word)
		}
	}
	return ""
}

// compare holds a file against one family's names. found counts the parameters whose names occur in the file. Sources
// are where the parameters are by the file's own names. A nil view is the file's names as they are.
func compare(f *File, placed []arch.Placed, n format.Naming, v view, layers Layers) (found int,
	sources map[string]format.Source, fault *MatchError) {
	fault = &MatchError{Path: f.Path, Family: n.Family}
	sources = make(map[string]format.Source)
	expected := make(map[string]bool)
	prefix := "" // of the file's names before the family's
	for _, layer := range placed {
		wanted := layers.Wanted == nil || layers.Wanted(layer.Name)
		for _, p := range layer.Params {
			src, ok := n.Source[p.Name]
			if ok && src.Name == "" {
				if n := len(src.Values); n > 0 && n != p.Count() {
					fault.Misshapen = append(fault.Misshapen, Misshape{p.Name, []int{n}, p.Shape})
				}
				sources[p.Name] = src
				continue
			}
			if !ok {
				src.Name = p.Name
			}
			name := src.Name
			if v != nil {
				if src.Name = v[name]; src.Name == "" {
					src.Name = prefix + name
				} else if before, ok := strings.CutSuffix(src.Name, name); ok {
					prefix = before
				}
			}
			expected[src.Name] = true
			t, ok := f.Info(src.Name)
			want := src.Layout.Shape(p)
			switch {
			case ok && sameValues(t.Shape, want, src.Layout):
				sources[p.Name] = src
				if wanted {
					found++
				}
			case !wanted:
			case !ok:
				fault.Missing = append(fault.Missing, src.Name)
			default:
				found++
				fault.Misshapen = append(fault.Misshapen, Misshape{src.Name, t.Shape, want})
			}
		}
	}
	if !layers.Beside || !n.Words {
		heads := map[string]bool{}
		for _, name := range f.Names() {
			if t, _ := f.Info(name); layers.Wanted != nil && len(t.Shape) == 2 {
				heads[moduleOf(name)] = true
			}
		}
		mean, std := f.pixelStats()
		for _, name := range f.Names() {
			if !expected[name] && name != mean && name != std && !n.Bookkeeping(name) && !heads[moduleOf(name)] &&
				!f.ofTraining(name, prefix) {
				fault.Extra = append(fault.Extra, name)
			}
		}
	}
	if len(fault.Missing)+len(fault.Extra)+len(fault.Misshapen) > 0 {
		return found, nil, fault
	}
	return found, sources, nil
}

// trainingWords begin the names of what a module of training holds beside its network.
var trainingWords = regexp.MustCompile(`(?i)^(\w*(criterion|loss|metrics?|accuracy|precision|recall|auroc|confmat)\w*|(\w+_)?(acc|f1|auc)(_\w+)?)\.`)

// ofTraining reports whether a tensor stands beside a network that is a member of another module, belongs to a loss or
// a score by its name and may be no layer's weights.
func (f *File) ofTraining(name, prefix string) bool {
	t, _ := f.Info(name)
	return prefix != "" && !strings.HasPrefix(name, prefix) && !isWeight(t) &&
		trainingWords.MatchString(name)
}

// sameValues reports whether two shapes hold the same weights in the same order: equal ones, and a linear layer's O,I
// against the O,I,H,W of a convolution over the whole map, which is how fully convolutional networks keep fc6. Where
// the layout has a linear layer's I,O, it is the H,W,I,O of one.
func sameValues(a, b []int, l format.Layout) bool {
	if slices.Equal(a, b) {
		return true
	}
	ranks := len(a) == 2 && len(b) == 4 || len(a) == 4 && len(b) == 2
	outs := func(shape []int) int {
		if slices.Equal(l.Axes, format.InOut.Axes) {
			return shape[len(shape)-1]
		}
		return shape[0]
	}
	return ranks && outs(a) == outs(b) && format.Product(a) == format.Product(b)
}

// Has reports whether the file has a parameter, which it may lack where MatchLayers did not want it.
func (m *Matched) Has(p arch.Param) bool {
	_, ok := m.source[p.Name]
	return ok
}

// Param returns a parameter's values, mapped or converted as Tensor does, in our layout. It suits nn's Params.Load.
func (m *Matched) Param(p arch.Param) ([]float32, error) {
	src, ok := m.source[p.Name]
	if !ok {
		return nil, fmt.Errorf("%s: parameter %s is not of the layers that this file was matched with", m.file.Path, p.Name)
	}
	return m.file.values(src, p)
}

// Halves returns a parameter's values where the file has them in 16 bits, as float16 or bfloat16, in our layout and in
// one piece: they are the mapped file itself, on Tensor's terms. Otherwise ok is false, and Param has them.
func (m *Matched) Halves(p arch.Param) (halves tensor.Halves, ok bool) {
	src := m.source[p.Name]
	t, found := m.file.list.Get(src.Name)
	if !found || m.file.closed || src.Fold != nil || !src.Layout.IsOurs() || t.Fetch != nil ||
		t.DType != F16 && t.DType != BF16 {
		return tensor.Halves{}, false
	}
	halves.Brain = t.DType == BF16
	halves.Bits, ok = kernel.Uint16s(t.Raw)
	return halves, ok
}

// GiveBack says that nobody reads a parameter's values, which Param returned, for now: where they are the mapped file
// itself, their memory is free, and they come from the file again when they are read.
func (m *Matched) GiveBack(p arch.Param) {
	t, _ := m.file.list.Get(m.source[p.Name].Name)
	for _, mapped := range m.file.mapped {
		if from, ok := kernel.Place(t.Raw, mapped.data); ok {
			mapped.giveBack(from, from+len(t.Raw))
		}
	}
}
