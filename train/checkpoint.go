package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/weights"
)

// The files of a run's folder, beside its checkpoints step-00001234.safetensors.
const (
	RecipeFile  = "recipe.yaml"
	MetricsFile = "metrics.jsonl"
	BestFile    = "best.safetensors"  // the weights that validated best
	ModelFile   = "model.safetensors" // those at the end
	ReportFile  = "report.html"       // what package report/training shows of the run, on one page
	CurvesFile  = "curves.svg"
)

const (
	recipeNote = "vggo.train.recipe"
	// stateVersion is 2 since momentum keeps of each gradient what Polyak's bound left of it; before, it kept the whole.
	// It is 3 since frozen layers before the first that learns are computed as in use, and 4 since a parameter whose rule
	// has ended its learning counts neither in clipping nor in Polyak's bound.
	stateVersion = 4
)

// state is what a checkpoint holds beside tensors. Sources of random numbers have no state of their own: they follow
// from the recipe's seed, the step and the sample.
type state struct {
	Version   int     `json:"version"`
	Step      int     `json:"step"`      // steps taken, which is the position in the data too
	Validated int     `json:"validated"` // the step of the last validation
	Plateau   plateau `json:"plateau"`
	Best      float64 `json:"best"` // accuracy of BestFile; -1 before there is one
	BestLoss  float64 `json:"best_loss,omitempty"`
	BestStep  int     `json:"best_step"`
	Worse     int     `json:"worse,omitempty"`   // validations since then
	Stopped   bool    `json:"stopped,omitempty"` // by the recipe's patience
	Since     tally   `json:"since"`             // the last line of metrics
	Rate      float64 `json:"rate"`              // of the last step
	// Losses are those of the last steps, maxLosses at most, the last one last.
	Losses  []float64 `json:"losses,omitempty"`
	Seconds float64   `json:"seconds"`
	sets
	Machine machine `json:"machine"`
}

// maxLosses is how many steps tell what a run's loss has come to: one alone tells more of its batch.
const maxLosses = 10

// loss is that of the last step; 0 where it is not known.
func (s *state) loss() float64 {
	if len(s.Losses) == 0 {
		return 0
	}
	return s.Losses[len(s.Losses)-1]
}

// tally sums up steps.
type tally struct {
	Loss    float64 `json:"loss"` // times samples
	Right   int     `json:"right"`
	Samples int     `json:"samples"`
}

// machine is what the bits of a step depend on beside the recipe.
type machine struct {
	Kernel  string            `json:"kernel"`
	Ranks   int               `json:"ranks,omitempty"` // where a batch has no parts, more than one
	Choices map[string]string `json:"choices"`         // by layer and pass
}

// machine is this run's.
func (t *Trainer) machine() machine {
	m := machine{Kernel: t.plan.Set, Choices: map[string]string{}}
	for _, c := range nn.Choices(t.groups()) {
		m.Choices[c.Layer+"/"+string(c.Pass)] = c.Algo.String()
	}
	if n := t.ranks.Size(); n > 1 && t.ranks.parts == 0 {
		m.Ranks = n
	}
	return m
}

// MachineError is a run that began where steps are computed otherwise, so that it would not go on with the same bits.
type MachineError struct{ Was, Is string }

func (e *MachineError) Error() string {
	return fmt.Sprintf("the run began with %s, this machine computes with %s: it would go on with other roundings",
		e.Was, e.Is)
}

// differs is a *MachineError if there is a difference.
func (m machine) differs(now machine) error {
	if m.Kernel != now.Kernel {
		return &MachineError{m.Kernel + " kernels", now.Kernel + " kernels"}
	}
	if m.Ranks != now.Ranks {
		return &MachineError{fmt.Sprintf("%d ranks and no parts", max(m.Ranks, 1)), fmt.Sprint(max(now.Ranks, 1))}
	}
	for _, what := range slices.Sorted(maps.Keys(m.Choices)) {
		if was, is := m.Choices[what], now.Choices[what]; is != was {
			return &MachineError{was + " for " + what, is}
		}
	}
	return nil
}

// checkpointName is zero-padded so that names sort as steps do.
func checkpointName(step int) string { return fmt.Sprintf("step-%09d.safetensors", step) }

// checkpoints lists those in a folder, the newest first.
func checkpoints(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".safetensors"), "step-")
		if n, err := strconv.Atoi(digits); ok && err == nil && e.Name() == checkpointName(n) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// saveError is a state that could not be saved.
func (t *Trainer) saveError(what string, err error) error {
	kept := "nothing was saved before"
	if t.saved != "" {
		kept = "saved is " + t.saved
	}
	return fmt.Errorf("cannot save %s: %w; %s", what, err, kept)
}

// save writes a checkpoint, whole or not at all, and then deletes those that are too many.
func (t *Trainer) save() error {
	if t.options.Folder == "" {
		return nil
	}
	path := filepath.Join(t.options.Folder, checkpointName(t.state.Step))
	if path == t.saved {
		return nil
	}
	if err := t.finite(); err != nil {
		return err
	}
	state := t.state
	state.Seconds = t.seconds()
	stateText, err := json.Marshal(state)
	if err != nil {
		return err
	}
	notes, err := t.notes()
	if err != nil {
		return err
	}
	var recipe bytes.Buffer
	if err := t.recipe.Write(&recipe); err != nil {
		return err
	}
	notes[weights.StateNote], notes[recipeNote] = string(stateText), recipe.String()
	tensors := slices.Concat(paramTensors(t.params), t.optimiser.tensors(), t.average.tensors())
	if err := seal(tensors, notes); err != nil {
		return err
	}
	if err := t.options.write(path, tensors, notes); err != nil {
		return t.saveError(fmt.Sprintf("step %d", t.state.Step), err)
	}
	t.saved = path
	t.report(Report{Saved: path})
	names, err := checkpoints(t.options.Folder)
	if err != nil {
		return err
	}
	for _, name := range names[min(t.recipe.keep(), len(names)):] {
		if err := os.Remove(filepath.Join(t.options.Folder, name)); err != nil {
			return err
		}
	}
	return nil
}

// notes describe the network for whoever opens the file.
func (t *Trainer) notes() (map[string]string, error) {
	var net bytes.Buffer
	if err := t.net.EncodeJSON(&net); err != nil {
		return nil, err
	}
	preprocess, err := json.Marshal(t.augmenter.preprocess.Parts())
	if err != nil {
		return nil, err
	}
	notes := map[string]string{weights.NetworkNote: net.String(), weights.PreprocessNote: string(preprocess)}
	if t.options.Classes != nil {
		classes, err := json.Marshal(t.options.Classes)
		if err != nil {
			return nil, err
		}
		notes[weights.ClassesNote] = string(classes)
	}
	return notes, nil
}

// saveWeights writes the parameters alone, as other commands read them.
func (t *Trainer) saveWeights(name string) error {
	if t.options.Folder == "" {
		return nil
	}
	notes, err := t.notes()
	if err != nil {
		return err
	}
	if err := t.options.write(filepath.Join(t.options.Folder, name), paramTensors(t.params), notes); err != nil {
		return t.saveError(name, err)
	}
	return nil
}

func paramTensors(params *nn.Params) []weights.Tensor {
	var list []weights.Tensor
	for _, p := range params.List {
		list = append(list, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Data})
	}
	return list
}

// Saved is what a run's folder tells of it.
type Saved struct {
	Path    string // of the checkpoint
	Recipe  Recipe
	Network *arch.Network
	Step    int
	Classes []string        // their names; nil where the checkpoint has none
	Damaged []*DamagedError // newer checkpoints, which Resume sets aside

	state state
}

// NoCheckpointError is a folder in which no run has saved its state.
type NoCheckpointError struct {
	Folder string
	Err    error // of the newest checkpoint that cannot be read, nil where there is none
}

func (e *NoCheckpointError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: no checkpoint can be read: %v", e.Folder, e.Err)
	}
	return e.Folder + ": there is no checkpoint"
}

func (e *NoCheckpointError) Unwrap() error { return e.Err }

// VersionError is a checkpoint, whole, that another version of vggo wrote: this one would not go on as that one.
type VersionError struct {
	Path string
	Err  error // what differs
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s was written by another version of vggo: %v", e.Path, e.Err)
}

func (e *VersionError) Unwrap() error { return e.Err }

// ReadSaved finds the newest checkpoint in a folder that is whole; without one it is a *NoCheckpointError. One that
// another version wrote is a *VersionError.
func ReadSaved(folder string) (*Saved, error) {
	names, err := checkpoints(folder)
	if err != nil {
		return nil, err
	}
	missing := &NoCheckpointError{Folder: folder}
	var damaged []*DamagedError
	for _, name := range names {
		s, err := readSaved(filepath.Join(folder, name))
		if err == nil {
			s.Damaged = damaged
			return s, nil
		}
		var version *VersionError
		if errors.As(err, &version) { // those before it are of that version too
			return nil, err
		}
		if missing.Err == nil {
			missing.Err = err
		}
		var d *DamagedError
		if errors.As(err, &d) {
			damaged = append(damaged, d)
		}
	}
	return nil, missing
}

func readSaved(path string) (s *Saved, err error) {
	if err := intact(path); err != nil {
		return nil, err
	}
	fail := func(err error) (*Saved, error) { return nil, &DamagedError{path, err} }
	file, err := weights.Open(path)
	var format *weights.FormatError
	if errors.As(err, &format) {
		return fail(errors.New(strings.TrimPrefix(err.Error(), path+": ")))
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	s = &Saved{Path: path}
	if err := strict.Unmarshal([]byte(file.Metadata[weights.StateNote]), &s.state); err != nil {
		return fail(err)
	}
	if v := s.state.Version; v < 1 || v > stateVersion {
		return nil, &VersionError{path, fmt.Errorf("its version is %d, this program's %d", v, stateVersion)}
	}
	if s.Recipe, err = DecodeRecipe(strings.NewReader(file.Metadata[recipeNote])); err != nil {
		if _, sealed := file.Metadata[sumNote]; sealed || unknownKey(err) { // what is sealed is as it was written
			return nil, &VersionError{path, fmt.Errorf("its recipe: %w", err)}
		}
		return fail(err)
	}
	if s.state.Version == 1 && s.Recipe.Polyak > 0 && s.Recipe.Optimiser.Kind == "sgd" {
		return nil, &VersionError{path, errors.New("polyak bounded its steps by another rule")}
	}
	ends := slices.ContainsFunc(s.Recipe.Rules, func(r Rule) bool { return r.Until != nil && *r.Until > 0 })
	if s.state.Version < 4 && ends && (s.Recipe.Clip > 0 || s.Recipe.Polyak > 0) {
		return nil, &VersionError{path, errors.New("parameters that learn no more counted in its clip and polyak")}
	}
	placed, err := file.Network()
	if err != nil {
		return fail(err)
	}
	s.Network = placed.Network
	if s.Classes, err = classesOf(file); err != nil {
		return fail(err)
	}
	s.Step = s.state.Step
	return s, nil
}

// sameOptimiser refuses a checkpoint that holds what another optimiser than the recipe's keeps.
func sameOptimiser(file *weights.File, kind string, kept []weights.Tensor) error {
	wanted := map[string]bool{}
	for _, tensor := range kept {
		wanted[tensor.Name] = true
		if _, ok := file.Info(tensor.Name); !ok {
			return fmt.Errorf("%s lacks %s: another optimiser than its recipe's %s has saved it", file.Path, tensor.Name, kind)
		}
	}
	for _, name := range file.Names() {
		if strings.HasPrefix(name, stateName) && !wanted[name] {
			return fmt.Errorf("%s holds %s: another optimiser than its recipe's %s has saved it", file.Path,
				printable.Text(name), kind)
		}
	}
	return nil
}

// restore takes over a checkpoint.
func (t *Trainer) restore(s *Saved) (err error) {
	if s.state.Version < 3 && t.frozen != nil {
		return &VersionError{s.Path, errors.New("it computed frozen layers by another rule")}
	}
	now := t.sets()
	if err := t.sameData(s, now); err != nil {
		return err
	}
	file, err := weights.Open(s.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	kept := t.optimiser.tensors()
	if err := sameOptimiser(file, t.recipe.Optimiser.Kind, kept); err != nil {
		return err
	}
	for _, want := range slices.Concat(paramTensors(t.params), kept, t.average.tensors()) {
		got, err := file.Tensor(want.Name)
		if err != nil {
			return err
		}
		if !slices.Equal(got.Shape, want.Shape) {
			return fmt.Errorf("%s: tensor %s has shape %s, the run needs %s", s.Path, want.Name, printable.Shape(got.Shape),
				printable.Shape(want.Shape))
		}
		copy(want.Data, got.Data)
	}
	if s.state.Step < 0 || s.state.Step > t.steps {
		return fmt.Errorf("%s: step %d of %d", s.Path, s.state.Step, t.steps)
	}
	if err := s.state.Machine.differs(t.machine()); err != nil && !t.options.Elsewhere {
		return err
	}
	t.state, t.saved = s.state, s.Path
	t.state.Machine, t.state.sets = t.machine(), now
	t.optimiser.resume(t.state.Step, t.perEpoch)
	return nil
}
