package train

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"image"
	"io"
	"maps"
	"math"
	"reflect"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/near"
	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// Recipe is everything that a run depends on but its data, and the kernels that round.
type Recipe struct {
	Name  string `yaml:"name"`
	Model string `yaml:"model,omitempty"` // what arch.Open takes, or a description of several lines

	// how pictures become inputs; what is left out is unit's. Base may be Measured
	Preprocess vision.PreprocessParts `yaml:"preprocess"`
	// Prepare is what Preprocess was called until November 2026, then a name alone. Reading a recipe puts it there.
	Prepare string `yaml:"prepare,omitempty"`

	Epochs float64 `yaml:"epochs"`
	Batch  int     `yaml:"batch"` // samples of one step
	// passes that share them, for less memory; batch norm sees one at a time; 0 counts as 1
	Accumulate int `yaml:"accumulate,omitempty"`
	// Parts, a power of two, divides each pass: gradients are summed within a part and over the parts as a fixed tree, so
	// that as many processes as divide it train to the same bits as one. 0: no parts.
	Parts int `yaml:"parts,omitempty"`
	// PartNorm has batch norm see one part at a time instead of the pass.
	PartNorm bool    `yaml:"part_norm,omitempty"`
	Seed     uint64  `yaml:"seed"`
	Keep     float64 `yaml:"keep,omitempty"` // of dropout; 0: as the network says, 1: no dropout

	Init      Init     `yaml:"init"`
	Optimiser Optimise `yaml:"optimiser"`
	// Rates are shares of the rate by layer: by its name, by what several are called with their numbers left out (conv3,
	// fc), or by block, up to its pooling (block1). A layer's own name goes before; 0 freezes.
	Rates     map[string]float64 `yaml:"rates,flow,omitempty"`
	Rules     []Rule             `yaml:"rules,omitempty"`
	Schedule  Schedule           `yaml:"schedule"`
	Smoothing float64            `yaml:"label_smoothing,omitempty"`
	// ClassWeights count pictures of some classes more than of others: balanced, or numbers by class.
	ClassWeights ClassWeights `yaml:"class_weights,flow,omitempty"`
	Clip         float64      `yaml:"clip,omitempty"` // most that the gradients' norm may be; 0: anything
	// Polyak bounds the rate of each step: by this times the loss over the gradients' squared length, Polyak's step for
	// a loss that could fall to 0 (Loizou et al. 2021, SPS_max). 0: not at all.
	Polyak  float64 `yaml:"polyak,omitempty"`
	Average Average `yaml:"average,omitempty"`
	Augment Augment `yaml:"augment"`
	Small   Small   `yaml:"small,flow,omitempty"`

	HoldOut  int     `yaml:"hold_out,omitempty"` // samples of the training set that validate instead
	Validate float64 `yaml:"validate,omitempty"` // epochs between validations; 0 counts as 1
	// Patience ends the run after so many validations in a row that were no better than the best; 0: it does not end early
	Patience int `yaml:"patience,omitempty"`
	// how an answer is found: of the picture, of it and its mirror image (flip), or of these shifted too (flip+shift)
	Views string `yaml:"views,omitempty"`

	Checkpoint Checkpoint `yaml:"checkpoint,omitempty"`
	Broken     int        `yaml:"broken,omitempty"` // pictures that may be unreadable; 0 counts as 100, -1 allows none
}

// Checkpoint says which states of a run are kept.
type Checkpoint struct {
	Every float64 `yaml:"every,omitempty"` // epochs; 0 counts as 1
	Keep  int     `yaml:"keep,omitempty"`  // the last ones; 0 counts as 3
}

// Init says how parameters begin that no file gives.
type Init struct {
	Kind string `yaml:"kind"` // one of nn.Initialisers
	// Identity lets each 3x3 convolution begin as the identity of as many channels as it has in (Zagoruyko & Komodakis
	// 2017).
	Identity bool `yaml:"identity,omitempty"`
	// Whiten makes the first convolution's filters the principal components of the training pictures' patches, each scaled
	// to the same variance, and their negatives; its weights are not trained (airbench).
	Whiten bool `yaml:"whiten,omitempty"`
	// Level lets the outputs of each layer with weights begin with mean 0 and deviation 1 over some training pictures.
	Level bool `yaml:"level,omitempty"`
}

// Default is a recipe for anything: SGD with Nesterov's momentum, the rate falling as a cosine, flipped pictures, whose
// mean and deviation are measured.
func Default() Recipe {
	return Recipe{
		Name: "plain", Preprocess: vision.PreprocessParts{Base: Measured}, Epochs: 30, Batch: 128, Seed: 1,
		Init:      Init{Kind: "he", Level: true},
		Optimiser: Optimise{Kind: "sgd", Rate: 0.02, Decay: 5e-4, Momentum: 0.9, Nesterov: true},
		Polyak:    0.2,
		Schedule:  Schedule{Kind: "cosine"},
		Augment:   Augment{Flip: "random"},
	}
}

//go:embed recipes/*.yaml
var recipes embed.FS

// RecipeNames are those that OpenRecipe knows, beside files.
func RecipeNames() []string { return []string{"plain", "paper", "cifar10", "fashion-mnist"} }

// maxRecipe bounds a recipe's size in bytes.
const maxRecipe = 1 << 20

// OpenRecipe returns a recipe by name, or reads it from a file, whose name ends in .yaml, .yml or .json.
func OpenRecipe(name string) (Recipe, error) {
	if name == "plain" {
		return Default(), nil
	}
	if text, err := recipes.ReadFile("recipes/" + name + ".yaml"); err == nil {
		return DecodeRecipe(bytes.NewReader(text))
	}
	if !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".yml") && !strings.HasSuffix(name, ".json") {
		return Recipe{}, fmt.Errorf("no recipe is called %q: want one of %s, or a file ending in .yaml", name,
			strings.Join(RecipeNames(), ", "))
	}
	f, err := plainfile.Open(name)
	if err != nil {
		return Recipe{}, err
	}
	defer f.Close()
	r, err := DecodeRecipe(f)
	if err != nil {
		return Recipe{}, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// DecodeRecipe reads a recipe of at most 1 MiB, YAML or JSON. It leaves out what it does not want: seed is then 1,
// preprocess unit, init.kind he, and the optimiser SGD with a momentum of 0.9 at a constant rate. A key that is not a
// recipe's is an error.
func DecodeRecipe(in io.Reader) (Recipe, error) {
	// Nothing but what Write always writes may be set here, or a recipe could not turn it off.
	r := Recipe{
		Preprocess: vision.PreprocessParts{Base: "unit"}, Seed: 1, Init: Init{Kind: "he"},
		Optimiser: Optimise{Kind: "sgd", Momentum: 0.9}, Schedule: Schedule{Kind: "constant"},
	}
	err := r.decode(in)
	return r, err
}

func (r *Recipe) decode(in io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(in, maxRecipe+1))
	if err != nil {
		return err
	}
	if len(text) > maxRecipe {
		return fmt.Errorf("a recipe is at most %d bytes", maxRecipe)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(r); errors.Is(err, io.EOF) {
		return errors.New("the recipe is empty")
	} else if err != nil {
		return recipeError(err)
	}
	if r.Prepare != "" {
		if r.Prepare == "caffe" { // whose order of channels was then red first
			r.Prepare = "caffe-rgb"
		}
		r.Preprocess, r.Prepare = vision.PreprocessParts{Base: r.Prepare}, ""
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// keyError is a key that is not a recipe's.
type keyError struct {
	line, key string
	rule      bool // in one of Rules
}

func (e *keyError) Error() string {
	text := fmt.Sprintf("%s: unknown key %q", e.line, e.key)
	last := func(path string) string { return strings.ToLower(path[strings.LastIndexByte(path, '.')+1:]) }
	of := reflect.TypeFor[Recipe]()
	if e.rule {
		of = reflect.TypeFor[Rule]()
	}
	if meant := near.Names(e.key, keysOf(of, ""), 2, last); len(meant) > 0 {
		text += ": did you mean " + printable.Or(meant) + "?"
	}
	return text
}

// keysOf are a struct's keys and those of structs in it, as Set takes them.
func keysOf(t reflect.Type, prefix string) []string {
	var keys []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case name == "" || name == "prepare": // what preprocess was called
			continue
		case field.Type.Kind() == reflect.Struct:
			keys = append(keys, keysOf(field.Type, prefix+name+".")...)
		}
		keys = append(keys, prefix+name)
	}
	return keys
}

// unknownKey reports whether a recipe was refused for a key alone.
func unknownKey(err error) bool { return errors.As(err, new(*keyError)) }

// recipeError puts the first of yaml's complaints in a recipe's words.
func recipeError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) && len(wrong.Errors) > 0 {
		text = wrong.Errors[0]
	}
	text, of, _ := strings.Cut(text, " in type ")
	text = strings.NewReplacer("cannot unmarshal !!", "cannot read ", " into train.", " as ", " into ",
		" as ").Replace(text)
	if line, field, ok := strings.Cut(text, ": field "); ok {
		field, _, _ = strings.Cut(field, " not found")
		return &keyError{line, field, of == "train.Rule"}
	}
	return errors.New(strings.Map(func(r rune) rune { // yaml quotes values as they are, of several lines too
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
}

// Set changes one value: "optimiser.rate=0.1", "augment.flip=random", "schedule={kind: step, at: [30, 60]}". After an
// error nothing has changed.
func (r *Recipe) Set(assignment string) error {
	key, value, ok := strings.Cut(assignment, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		return fmt.Errorf("%q: want key=value, such as optimiser.rate=0.1", assignment)
	}
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(value), &node); err != nil {
		return fmt.Errorf("%q: %w", assignment, recipeError(err))
	}
	if node.Kind != yaml.DocumentNode { // nothing but spaces and comments
		return fmt.Errorf("%q: there is no value", assignment)
	}
	at := node.Content[0]
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		name := &yaml.Node{Kind: yaml.ScalarNode, Value: parts[i]}
		at = &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: []*yaml.Node{name, at}}
	}
	text, err := yaml.Marshal(at)
	if err != nil {
		return fmt.Errorf("%q: %w", assignment, recipeError(err))
	}
	changed := *r
	changed.Rates, changed.ClassWeights.Of = maps.Clone(r.Rates), maps.Clone(r.ClassWeights.Of)
	if err := changed.decode(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("%q: %s", assignment, strings.TrimPrefix(err.Error(), "line 1: "))
	}
	*r = changed
	return nil
}

// Write writes the recipe as DecodeRecipe reads it.
func (r Recipe) Write(w io.Writer) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(r); err != nil {
		return err
	}
	return enc.Close()
}

// Network is the recipe's model.
func (r Recipe) Network() (*arch.Network, error) {
	switch {
	case r.Model == "":
		return nil, errors.New("the recipe names no model")
	case strings.Contains(r.Model, "\n"):
		placed, err := weights.DecodeNetwork(strings.NewReader(r.Model))
		if err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
		placed.Network.Name = cmp.Or(placed.Network.Name, r.Name)
		return placed.Network, nil
	}
	placed, err := weights.OpenNetwork(r.Model)
	if err != nil {
		return nil, err
	}
	return placed.Network, nil
}

// WithBatch is the recipe for batches of so many pictures, in as few passes as take no more at a time than before.
func (r Recipe) WithBatch(batch int) Recipe {
	if r.Accumulate > 1 && batch > 0 {
		share := max(r.Batch/r.Accumulate, 1)
		for r.Accumulate = (batch + share - 1) / share; batch%r.Accumulate != 0; r.Accumulate++ {
		}
	}
	r.Batch = batch
	return r
}

func (r Recipe) accumulate() int { return max(r.Accumulate, 1) }

func (r Recipe) validateEvery() float64 { return cmp.Or(r.Validate, 1) }

func (r Recipe) checkpointEvery() float64 { return cmp.Or(r.Checkpoint.Every, 1) }

func (r Recipe) keep() int { return cmp.Or(r.Checkpoint.Keep, 3) }

func (r Recipe) mayBreak() int {
	switch r.Broken {
	case 0:
		return 100
	case -1:
		return 0
	}
	return r.Broken
}

// initialiser is the one named.
func (i Init) initialiser() (nn.Initialiser, error) {
	var names []string
	for _, known := range nn.Initialisers() {
		if known.Name == i.Kind {
			return known, nil
		}
		names = append(names, known.Name)
	}
	return nn.Initialiser{}, fmt.Errorf("kind: %q is none of %s", i.Kind, strings.Join(names, ", "))
}

// most is the greatest number of epochs and of samples in a batch: beyond them counts could overflow.
const most = 1 << 20

// check refuses what cannot be meant, for an input of this shape. Its errors begin with the key.
func (r Recipe) check(input arch.Shape) error {
	_, initError := r.Init.initialiser()
	for _, part := range []struct {
		key string
		err error
	}{
		{"init", initError},
		{"optimiser", r.Optimiser.check()},
		{"schedule", r.Schedule.check()},
		{"average", r.Average.check()},
		{"augment", r.Augment.check(image.Pt(input.W, input.H), input.C)},
		{"small", r.Small.check(input)},
	} {
		if part.err != nil {
			return fmt.Errorf("recipe: %s: %w", part.key, part.err)
		}
	}
	positive := func(v float64) bool { return v > 0 && v <= most }
	switch {
	case !positive(r.Epochs):
		return fmt.Errorf("recipe: epochs must be above 0 and at most %d, not %v", most, r.Epochs)
	case r.Batch < 1 || r.Batch > most:
		return fmt.Errorf("recipe: batch must lie between 1 and %d, not %d", most, r.Batch)
	case r.Accumulate < 0 || r.Batch%r.accumulate() != 0:
		return fmt.Errorf("recipe: accumulate: %d passes cannot share a batch of %d", r.Accumulate, r.Batch)
	case !(r.Keep >= 0 && r.Keep <= 1):
		return fmt.Errorf("recipe: keep must lie in (0, 1], not %v", r.Keep)
	case !(r.Smoothing >= 0 && r.Smoothing <= 1):
		return fmt.Errorf("recipe: label_smoothing must lie in [0, 1], not %v", r.Smoothing)
	case !(r.Clip >= 0 && r.Clip < math.Inf(1)):
		return fmt.Errorf("recipe: clip must be at least 0, not %v", r.Clip)
	case !(r.Polyak >= 0 && r.Polyak < math.Inf(1)):
		return fmt.Errorf("recipe: polyak must be at least 0, not %v", r.Polyak)
	case r.Polyak > 0 && r.Optimiser.Kind == "muon":
		return errors.New("recipe: polyak bounds steps by their gradients, and muon's have one length: set polyak to 0")
	case r.HoldOut < 0:
		return fmt.Errorf("recipe: hold_out must be at least 0, not %d", r.HoldOut)
	case !positive(r.validateEvery()) || !positive(r.checkpointEvery()):
		return fmt.Errorf("recipe: validate and checkpoint.every are epochs, above 0")
	case r.keep() < 1:
		return fmt.Errorf("recipe: checkpoint.keep must be at least 1, not %d", r.Checkpoint.Keep)
	case r.Patience < 0:
		return fmt.Errorf("recipe: patience must be at least 0, not %d", r.Patience)
	case r.Broken < -1:
		return fmt.Errorf("recipe: broken must be at least -1, not %d", r.Broken)
	}
	for i, rule := range r.Rules {
		if err := rule.check(&r.Optimiser); err != nil {
			return fmt.Errorf("recipe: rules: rule %d: %w", i+1, err)
		}
		for _, part := range []struct {
			key   string
			value *float64
		}{{"rate", rule.Rate}, {"decay", rule.Decay}, {"scale", rule.Scale}, {"from", rule.From}, {"until", rule.Until}} {
			if v := part.value; v != nil && !(*v >= 0 && *v < math.Inf(1)) {
				return fmt.Errorf("recipe: rules: %s of rule %d must be at least 0, not %v", part.key, i+1, *v)
			}
		}
	}
	if err := r.checkParts(); err != nil {
		return err
	}
	_, err := viewsOf(r.Views)
	return err
}
