package weights

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/hdf5"
)

// A Keras file is HDF5. Keras 1 and 2 (keras/src/legacy/saving/legacy_h5_format.py) list a model's layers in order in the attribute
// layer_names of the root or of its group model_weights, and each layer's arrays in its group's attribute weight_names; the root's
// attribute model_config, if there is one, is the network as JSON. Keras 3 and .weights.h5 (keras/src/saving/saving_lib.py) keep
// layers/conv2d_1/vars/0, a number for each of a layer's arrays, the layer called by its class and the count of those before it; a
// .keras file is a zip of config.json and such a file. A file of neither kind is its arrays by their paths.

// maxGroups is how deep groups may lie in each other.
const maxGroups = 16

func readHDF5(f *File, data []byte) error {
	h, err := hdf5.Read(data)
	if err != nil {
		return f.hdf5Error(err)
	}
	k := &keras{file: f}
	if err := k.read(h); err != nil {
		return f.hdf5Error(err)
	}
	return nil
}

// hdf5Error puts the file's name to an error.
func (f *File) hdf5Error(err error) error {
	var format *hdf5.Error
	if errors.As(err, &format) {
		return &FormatError{f.Path, format.Offset, strings.TrimPrefix(err.Error(), format.Error()) + format.Reason}
	}
	return fmt.Errorf("%s: %w", f.Path, err)
}

// readKerasZip reads a .keras archive, whose members Keras stores without compression.
func readKerasZip(f *File, members map[string]member) error {
	inner := members["model.weights.h5"]
	if inner.raw == nil {
		return &FormatError{f.Path, 0, "model.weights.h5 is compressed: Keras stores it as it is"}
	}
	config, err := members["config.json"].bytes()
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	h, err := hdf5.Read(inner.raw)
	if err != nil {
		return fmt.Errorf("%s: model.weights.h5: %w", f.Path, err)
	}
	k := &keras{file: f, config: string(config)}
	if err := k.read(h); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}

// keras is a file of Keras' as it is read.
type keras struct {
	file    *File
	layers  []kerasLayer // those with arrays
	ordered bool         // layers stand in the network's order, not only those of each kind
	config  string       // the network as JSON; empty where the file has none
}

// kerasLayer is a layer's arrays by the roles of our parameters.
type kerasLayer struct {
	name  string
	kind  string // arch's
	array map[string]string
}

func (k *keras) read(h *hdf5.File) error {
	root, err := h.Root()
	if err != nil {
		return err
	}
	k.file.Metadata = map[string]string{}
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
			k.file.Metadata[name] = joined
		}
	}
	if err := k.walk(root, "", 0); err != nil {
		return err
	}
	if err := k.listLayers(root); err != nil {
		return err
	}
	if len(k.layers) == 0 {
		return nil
	}
	k.file.named = k.naming
	if k.config == "" {
		return nil
	}
	net, recipe, err := kerasNetwork(k.config)
	if err != nil {
		return err
	}
	named, _, err := k.file.recognise(net)
	if err != nil {
		return err
	}
	placed, err := named.Place(named.Input)
	if err != nil {
		return err
	}
	d := &described{net: named, naming: k.naming(placed)}
	if recipe != "" {
		d.naming.recipe = recipe
	}
	k.file.described = d
	return nil
}

// trainingGroups hold an optimiser's state.
var trainingGroups = []string{"optimizer_weights", "optimizer", "_optimizer"}

// walk adds every array in a group and below it, by its path.
func (k *keras) walk(group *hdf5.Object, path string, depth int) error {
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
func (k *keras) add(o *hdf5.Object, name string) error {
	d, err := o.Dataset()
	if err != nil {
		return fmt.Errorf("array %q: %w", clipText(name), err)
	}
	letter := map[hdf5.Class]string{hdf5.Float: "F", hdf5.Int: "I", hdf5.Uint: "U"}[d.Class]
	dtype := DType(letter + strconv.Itoa(8*d.Size))
	if sizes[dtype] == 0 {
		return nil
	}
	return k.file.add(entry{name: name, shape: d.Shape, dtype: dtype, fetch: func() ([]byte, error) {
		raw, err := d.Raw()
		if err != nil || !d.BigEndian {
			return raw, err
		}
		swapped := slices.Clone(raw)
		for v := range slices.Chunk(swapped, d.Size) {
			slices.Reverse(v)
		}
		return swapped, nil
	}})
}

// listLayers finds out the layers and their arrays.
func (k *keras) listLayers(root *hdf5.Object) error {
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
		k.listNumbered()
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
			return fmt.Errorf("layer %q is listed and not there", clipText(name))
		}
		group, err := weights.Open(link)
		if err != nil {
			return err
		}
		arrays, _, err := listAttribute(group, "weight_names")
		if err != nil {
			return err
		}
		layer := kerasLayer{name: name, array: map[string]string{}}
		for _, array := range arrays {
			full := name + "/" + array
			if role := kerasRole(array); role != "" {
				layer.array[role] = full
			}
		}
		k.take(layer)
	}
	return nil
}

// listAttribute reads a list of names, which Keras splits into name0, name1 … where it is longer than an attribute may be.
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

// kerasRole is what an array is by its name: block1_conv1/kernel:0, or convolution2d_1_W in Keras 1, whose running_std is a variance.
// TensorFlow numbers what has a name already: block1_conv1_W_1:0.
func kerasRole(array string) string {
	name, _, _ := strings.Cut(array[strings.LastIndexByte(array, '/')+1:], ":")
	if unnumbered := strings.TrimRight(name, "0123456789"); strings.HasSuffix(unnumbered, "_") && unnumbered != name {
		name = strings.TrimSuffix(unnumbered, "_")
	}
	for _, r := range []struct{ ending, role string }{
		{"kernel", "w"}, {"_W", "w"}, {"bias", "b"}, {"_b", "b"}, {"gamma", "gamma"}, {"beta", "beta"},
		{"moving_mean", "mean"}, {"running_mean", "mean"}, {"moving_variance", "var"}, {"running_std", "var"},
	} {
		if strings.HasSuffix(name, r.ending) {
			return r.role
		}
	}
	return ""
}

// take adds a layer, and finds out its kind by the shapes of its arrays.
func (k *keras) take(layer kerasLayer) {
	if len(layer.array) == 0 {
		return
	}
	w, _ := k.file.Info(layer.array["w"])
	switch {
	case len(w.Shape) == 4:
		layer.kind = arch.Conv{}.Kind()
	case len(w.Shape) == 2:
		layer.kind = arch.Linear{}.Kind()
	case layer.array["mean"] != "":
		layer.kind = arch.BatchNorm{}.Kind()
	default:
		return
	}
	k.layers = append(k.layers, layer)
}

// listNumbered lists the layers of Keras 3's way. Layers of one kind come in the order of their numbers; the order of kinds is not
// in the file.
func (k *keras) listNumbered() {
	arrays := map[string][]Tensor{}
	var layers []string
	for _, name := range k.file.Names() {
		rest, ok := strings.CutPrefix(name, "layers/")
		layer, number, vars := strings.Cut(rest, "/vars/")
		if _, err := strconv.Atoi(number); !ok || !vars || err != nil || strings.Contains(layer, "/") {
			continue
		}
		if arrays[layer] == nil {
			layers = append(layers, layer)
		}
		t, _ := k.file.Info(name)
		arrays[layer] = append(arrays[layer], t)
	}
	slices.SortFunc(layers, compareNumbered)
	for _, name := range layers {
		list := arrays[name]
		slices.SortFunc(list, func(a, b Tensor) int { return compareNumbered(a.Name, b.Name) })
		roles := []string{"w", "b"}
		if len(list[0].Shape) == 1 { // batch norm without scale or centre is told by its network alone
			roles = []string{"gamma", "beta", "mean", "var"}
			if len(list) < 4 {
				roles = roles[4-len(list):]
			}
		}
		layer := kerasLayer{name: name, array: map[string]string{}}
		for i, t := range list[:min(len(list), len(roles))] {
			layer.array[roles[i]] = t.Name
		}
		k.take(layer)
	}
}

// compareNumbered sorts names with numbers in them: conv2d, conv2d_1, conv2d_2, conv2d_10.
func compareNumbered(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if len(m) != len(n) {
				return len(m) - len(n)
			}
			if m != n {
				return strings.Compare(m, n)
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// naming gives a network's layers with parameters the file's, one after another. Keras leaves out what is constant: a bias of
// zeros, a scale of ones.
func (k *keras) naming(placed []arch.Placed) naming {
	n := naming{family: "Keras", source: map[string]source{}, recipe: "unit"}
	published := k.published()
	if published {
		n.recipe = "caffe"
	}
	var (
		flat   arch.Shape
		plain  bool // kernels are O,I,H,W, and maps C,H,W
		first  = true
		next   = map[string]int{} // of the kind's layers, or of all
		layers = map[string][]kerasLayer{}
	)
	for _, layer := range k.layers {
		layers[layer.kind] = append(layers[layer.kind], layer)
	}
	for _, layer := range placed {
		if _, ok := layer.Op.(arch.Flatten); ok {
			flat = layer.In
		}
		if len(layer.Params) == 0 {
			continue
		}
		kind := layer.Op.Kind()
		from, list := kind, layers[kind]
		if k.ordered {
			from, list = "", k.layers
		}
		var arrays map[string]string
		if i := next[from]; i < len(list) && list[i].kind == kind {
			arrays = list[i].array
			next[from]++
		}
		for _, p := range layer.Params {
			s := source{name: arrays[p.Role()]}
			switch role := p.Role(); {
			case s.name == "":
				if arrays == nil || role == "w" || role == "mean" || role == "var" {
					continue // missing
				}
				if role == "gamma" {
					s.fill = 1
				}
			case role == "w" && kind == "conv":
				s.layout = hwio
				if t, ok := k.file.Info(s.name); ok && first && !slices.Equal(t.Shape, hwio.shape(p)) && slices.Equal(t.Shape, p.Shape) {
					plain = true
				}
				if plain {
					s.layout = layout{flip: k.theano()}
				}
				s.layout.reverse = first && published
				first = false
			case role == "w":
				s.layout = inOut
				if !plain {
					s.layout.flat = flat
				}
			}
			n.source[p.Name] = s
		}
		flat = arch.Shape{}
	}
	n.bookkeeping = func(name string) bool { return !k.holds(name) }
	return n
}

// holds reports whether an array is one of a layer's.
func (k *keras) holds(name string) bool {
	return slices.ContainsFunc(k.layers, func(l kerasLayer) bool {
		for _, array := range l.array {
			if array == name {
				return true
			}
		}
		return false
	})
}

// published reports whether the layers are those of Keras' VGG16 and VGG19, whose weights are the paper's authors' own, made with
// Caffe on pictures in the order blue, green, red (keras/src/applications/vgg16.py).
func (k *keras) published() bool {
	has := func(name string) bool {
		return slices.ContainsFunc(k.layers, func(l kerasLayer) bool { return l.name == name })
	}
	return k.ordered && has("block1_conv1") && has("fc1") && has("fc2") && has("predictions")
}

// theano reports whether kernels of Keras 1 in Theano's order are turned by half a circle, as Theano's convolution wants them. It was
// the backend where the file names none: a network for digits of 2016 reads 77 of 80 printed ones so, and 70 the other way.
func (k *keras) theano() bool {
	backend := k.file.Metadata["backend"]
	return backend == "" || backend == "theano"
}
