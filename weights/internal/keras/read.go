// Package keras reads Keras' files of three generations, TensorFlow.js', the descriptions of networks in them and
// beside them, and HDF5 of other origins.
package keras

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/hdf5"
)

// A Keras file is HDF5. Before 1.0 a file of weights has its layers by their numbers (see listNumbered). Keras 1 and 2
// (keras/src/legacy/saving/legacy_h5_format.py) list a model's layers in order in the attribute layer_names of the root
// or of its group model_weights, and each layer's arrays in its group's attribute weight_names; the root's attribute
// model_config, if there is one, is the network as JSON. Keras 3 and .weights.h5 (keras/src/saving/saving_lib.py) keep
// layers/conv2d_1/vars/0, a number for each of a layer's arrays, the layer called by its class and the count of those
// before it; a .keras file is a zip of config.json and such a file. A file of neither kind is its arrays by their
// paths.
//
// A network that the file describes gives each layer its arrays by name. Where it describes none, layers take them in
// order. Keras leaves out what is constant: a bias of zeros, a scale of ones.

// maxGroups is how deep groups may lie in each other.
const maxGroups = 16

// maxConfig bounds a .keras archive's description before it is uncompressed.
const maxConfig = 1 << 20

// Reader reads Keras' files, and HDF5 of other origins as arrays by their paths.
var Reader = format.Reader{Name: "HDF5", Knows: knows, Read: read}

func knows(in *format.Input) bool {
	_, archive := in.Members[weightsName]
	return archive || hdf5.Is(in.Data)
}

// weightsName is the member of a .keras archive with the arrays.
const weightsName = "model.weights.h5"

func read(in *format.Input) (*format.Contents, error) {
	k := &file{held: map[string]bool{}, metadata: map[string]string{}}
	data := in.Data
	c := &format.Contents{Metadata: k.metadata}
	if in.Members != nil { // an archive, whose members Keras stores without compression
		c.Format = "Keras"
		if data = in.Members[weightsName].Raw; data == nil {
			return nil, format.Fail(0, "%s is compressed: Keras stores it as it is", weightsName)
		}
		config := in.Members["config.json"]
		if config.Size > maxConfig {
			return nil, format.Fail(0, "config.json of more than %d bytes", maxConfig)
		}
		text, err := config.Bytes()
		if err != nil {
			return nil, err
		}
		k.config = string(text)
	}
	err := k.read(data, c)
	var inner *format.Error
	if in.Members != nil && errors.As(err, &inner) { // whose offset is not the file's
		return nil, fmt.Errorf("%s: %w", weightsName, errors.New(err.Error()))
	}
	return c, err
}

// file is a file of Keras' as it is read.
type file struct {
	list     format.List
	metadata map[string]string
	layers   []layer         // those with arrays, in the file's order
	ordered  bool            // which is the network's, and not only that of each kind
	held     map[string]bool // arrays that belong to layers
	config   string          // the network as JSON; empty where the file has none
	model    *model
}

// layer is a layer's arrays.
type layer struct {
	name string // in files of Keras 1 and 2 the layer's, in those of Keras 3 its group's path
	// in files of Keras 1 and 2 the one that its arrays lie in: its own, or that of a model in the model
	group string
	kind  string            // arch's, as far as the arrays' shapes tell; else empty
	array map[string]string // by the roles of our parameters
	vars  []string          // Keras 3's, by number; their roles are the network's to say
}

func (k *file) read(data []byte, c *format.Contents) error {
	h, err := hdf5.Read(data)
	if err != nil {
		return err
	}
	root, err := h.Root()
	if err != nil {
		return err
	}
	for _, name := range []string{"keras_version", "backend", "model_config"} {
		attr, err := root.Attribute(name)
		if err != nil {
			return err
		}
		if attr == nil {
			continue
		}
		text, err := attr.Strings()
		if err != nil {
			return err
		}
		switch joined := strings.Join(text, ""); name {
		case "model_config":
			k.config = joined
		default:
			k.metadata[name] = joined
		}
	}
	if err := k.walk(root, "", 0); err != nil {
		return err
	}
	if err := k.listLayers(root); err != nil {
		return err
	}
	k.contents(c)
	return nil
}

// contents is what has been found.
func (k *file) contents(c *format.Contents) {
	c.Tensors = k.list.Tensors
	if len(k.layers) == 0 {
		return
	}
	c.Naming = k.naming
	if k.config == "" {
		c.Unknown = k.headless()
		return
	}
	if k.model, c.Unrunnable = decode([]byte(k.config)); c.Unrunnable != nil {
		return
	}
	k.model.Network.Name = "keras"
	if k.model.Open {
		c.Sized, c.Channels = k.sized, k.model.Network.Input.C
		return
	}
	c.Network = k.describe()
}

// sized describes a network whose pictures' size the file leaves open.
func (k *file) sized(input arch.Shape) (*format.Network, error) {
	open := k.model.Network.Input
	for _, side := range [][2]int{{open.C, input.C}, {open.H, input.H}, {open.W, input.W}} {
		if side[0] != 0 && side[0] != side[1] {
			return nil, fmt.Errorf("pictures of %v: the file's are of %s", input, openShape(open))
		}
	}
	if err := k.model.Place(input); err != nil {
		k.model.Network.Input = open
		return nil, &format.UnrunnableError{Err: err}
	}
	return k.describe(), nil
}

// openShape writes a shape as arch does, with a question mark for each side that is open.
func openShape(s arch.Shape) string {
	side := func(n int) string {
		if n == 0 {
			return "?"
		}
		return strconv.Itoa(n)
	}
	return side(s.H) + "x" + side(s.W) + "x" + side(s.C)
}

// describe is the model as the file's network.
func (k *file) describe() *format.Network {
	placed := k.model.Placed
	inside := k.model.Rescaled
	if len(k.model.Layers) > 0 {
		first := k.model.Layers[0]
		inside = inside || first.Normalises || first.Fixed != nil
	}
	return &format.Network{Network: placed.Network, Placed: placed, Naming: k.naming(placed.Layers), Prepares: inside,
		Unit: inside}
}

// headless says so where a file has the convolutions of a published VGG alone, of whatever width.
func (k *file) headless() string {
	for _, l := range k.layers {
		if l.kind != (arch.Conv{}).Kind() {
			return ""
		}
	}
	if !k.published() {
		return ""
	}
	var blocks []string
	convs, published := 0, true
	for block := 1; ; block++ {
		var widths []string
		for _, l := range k.layers { // published has seen block1_conv1 and so on
			of, _, _ := strings.Cut(l.name, "_")
			if of != fmt.Sprintf("block%d", block) {
				continue
			}
			w, _ := k.list.Get(l.array["w"])
			out := w.Shape[len(w.Shape)-1]
			widths = append(widths, strconv.Itoa(out))
			published = published && out == min(64<<(block-1), 512)
			convs++
		}
		if widths == nil {
			break
		}
		blocks = append(blocks, strings.Join(widths, ",")+",M")
	}
	name, remedy := "VGG16", ""
	if convs == 16 {
		name = "VGG19"
	}
	if published {
		remedy = "to classify take the file without notop in its name; "
	}
	return fmt.Sprintf("%s without its classifier (Keras' \"notop\"): %sfor features alone --model names its network: %s",
		name, remedy, strings.Join(blocks, ","))
}

// trainingGroups hold an optimiser's state.
var trainingGroups = []string{"optimizer_weights", "optimizer", "_optimizer"}

// walk adds every array in a group and below it, by its path.
func (k *file) walk(group *hdf5.Object, path string, depth int) error {
	if depth > maxGroups {
		return fmt.Errorf("groups lie more than %d deep", maxGroups)
	}
	links, err := group.Links()
	if err != nil {
		return err
	}
	for _, link := range links {
		if depth == 0 && slices.Contains(trainingGroups, link.Name) {
			continue
		}
		member, err := group.Open(link)
		if err != nil {
			return err
		}
		if len(path)+len(link.Name) > format.MaxName {
			return fmt.Errorf("a path of more than %d bytes", format.MaxName)
		}
		name := path + link.Name
		if depth == 0 && link.Name == "model_weights" {
			name = ""
		} else if member.IsGroup() {
			name += "/"
		}
		if member.IsGroup() {
			err = k.walk(member, name, depth+1)
		} else {
			err = k.add(member, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds an array of numbers; others no layer has.
func (k *file) add(o *hdf5.Object, name string) error {
	d, err := o.Dataset()
	if err != nil {
		return fmt.Errorf("array %q: %w", format.Clip(name), err)
	}
	if d.DType().Size() == 0 {
		return nil
	}
	return k.list.Add(format.Tensor{Name: name, Shape: d.Shape, DType: d.DType(), Fetch: d.Little})
}

// listLayers finds out the layers and their arrays.
func (k *file) listLayers(root *hdf5.Object) error {
	weights := root
	members, err := root.Links()
	if err != nil {
		return err
	}
	for _, link := range members {
		if link.Name == "model_weights" {
			if weights, err = root.Open(link); err != nil {
				return err
			}
		}
	}
	names, listed, err := listAttribute(weights, "layer_names")
	if err != nil {
		return err
	}
	if !listed {
		if first, err := weights.Attribute("nb_layers"); err != nil || first != nil {
			k.ordered = true
			k.listNumbered("/param_", "layer_")
			return err
		}
		k.listNumbered("/vars/", "layers/", oldLayers)
		return nil
	}
	k.ordered = true
	groups := map[string]hdf5.Link{}
	links, err := weights.Links()
	if err != nil {
		return err
	}
	for _, link := range links {
		groups[link.Name] = link
	}
	for _, name := range names {
		link, ok := groups[name]
		if !ok {
			return fmt.Errorf("layer %q is listed and not there", format.Clip(name))
		}
		group, err := weights.Open(link)
		if err != nil {
			return err
		}
		arrays, _, err := listAttribute(group, "weight_names")
		if err != nil {
			return err
		}
		for i := range arrays {
			arrays[i] = name + "/" + arrays[i]
		}
		k.takeGroup(name, arrays)
	}
	return nil
}

// takeGroup adds the layers of a group: one, or a model's in the model, each of whose arrays stands under its layer's
// name. TensorFlow.js has no groups.
func (k *file) takeGroup(group string, arrays []string) {
	var layers []layer
	index := map[string]int{}
	for _, array := range arrays {
		k.hold(array)
		role := roleOf(array)
		if role == "" {
			continue
		}
		within := path.Dir(array)
		i, ok := index[within]
		if !ok {
			i = len(layers)
			index[within] = i
			layers = append(layers, layer{name: path.Base(within), group: group, array: map[string]string{}})
		}
		layers[i].array[role] = array
	}
	if len(layers) == 1 && group != "" { // arrays keep the name that their layer had first
		layers[0].name = group
	}
	for _, l := range layers {
		k.take(l)
	}
}

// listAttribute reads a list of names, which Keras splits into name0, name1 … where it is longer than an attribute
// may be.
func listAttribute(o *hdf5.Object, name string) (list []string, ok bool, err error) {
	for part := -1; ; part++ {
		numbered := name
		if part >= 0 {
			numbered += strconv.Itoa(part)
		}
		attr, err := o.Attribute(numbered)
		if err != nil {
			return nil, false, err
		}
		if attr == nil {
			if part < 0 {
				continue
			}
			return list, ok, nil
		}
		some, err := attr.Strings()
		if err != nil {
			return nil, false, fmt.Errorf("attribute %s: %w", numbered, err)
		}
		list, ok = append(list, some...), true
		if part < 0 {
			return list, true, nil
		}
	}
}

// roleOf is what an array is by its name: block1_conv1/kernel:0, or convolution2d_1_W in Keras 1, whose running_std
// is a variance. TensorFlow numbers what has a name already: block1_conv1_W_1:0.
func roleOf(array string) string {
	name, _, _ := strings.Cut(array[strings.LastIndexByte(array, '/')+1:], ":")
	if unnumbered := strings.TrimRight(name, "0123456789"); strings.HasSuffix(unnumbered, "_") && unnumbered != name {
		name = strings.TrimSuffix(unnumbered, "_")
	}
	for _, r := range []struct{ word, ending, role string }{
		{"kernel", "_W", "w"}, {"bias", "_b", "b"}, {"gamma", "_gamma", "gamma"}, {"beta", "_beta", "beta"},
		{"moving_mean", "_running_mean", "mean"}, {"moving_variance", "_running_std", "var"},
		{"mean", "_mean", "mean"}, {"variance", "_variance", "var"}, // of a Normalization
	} {
		if name == r.word || strings.HasSuffix(name, r.ending) {
			return r.role
		}
	}
	return ""
}

// hold notes an array that belongs to a layer. Those that are no weights, such as a dropout's seed, the network does
// without.
func (k *file) hold(array string) bool {
	t, ok := k.list.Get(array)
	if ok = ok && t.DType.HoldsWeights(); ok {
		k.held[array] = true
	}
	return ok
}

// take adds a layer, and finds out its kind by the shapes of its arrays.
func (k *file) take(layer layer) {
	w, _ := k.list.Get(layer.array["w"])
	switch {
	case len(w.Shape) == 4:
		layer.kind = arch.Conv{}.Kind()
	case len(w.Shape) == 2:
		layer.kind = arch.Linear{}.Kind()
	case layer.array["mean"] != "":
		layer.kind = arch.BatchNorm{}.Kind()
	}
	k.layers = append(k.layers, layer)
}

// listNumbered lists layers whose arrays have numbers behind a mark: Keras 3's, of which those of one kind come in the
// order of their numbers while the order of kinds is not in the file, and those of Keras before 1.0 (keras/models.py of
// 0.3, save_weights), layer_0, layer_1 and so on in the model's order, each with its arrays as param_0, param_1.
func (k *file) listNumbered(mark string, begin ...string) {
	arrays := map[string][]string{}
	for _, name := range k.list.Names() {
		layer, number, ok := strings.Cut(name, mark)
		begins := func(with string) bool { return strings.HasPrefix(layer, with) }
		if _, err := strconv.Atoi(number); err != nil || !ok || !slices.ContainsFunc(begin, begins) {
			continue
		}
		if k.hold(name) {
			arrays[layer] = append(arrays[layer], name)
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(arrays), format.Natural) {
		list := arrays[name]
		slices.SortFunc(list, format.Natural)
		layer := layer{name: strings.ReplaceAll(name, oldLayers, "layers/"), array: map[string]string{}, vars: list}
		roles := []string{"w", "b"}
		if t, _ := k.list.Get(list[0]); len(t.Shape) == 1 {
			roles = []string{"gamma", "beta", "mean", "var"}
			if len(list) == 2 {
				roles = roles[2:]
			}
		}
		// three arrays of a batch norm lack scale or centre: which one, its network alone tells
		if len(list) == len(roles) || roles[0] == "w" && len(list) == 1 {
			for i, array := range list {
				layer.array[roles[i]] = array
			}
		}
		k.take(layer)
	}
}

// oldLayers is what TensorFlow 2.12 and 2.13 called the group layers.
const oldLayers = "_layer_checkpoint_dependencies/"
