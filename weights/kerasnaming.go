package weights

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
)

// naming gives a network's layers with parameters the file's.
func (k *keras) naming(placed []arch.Placed) naming {
	n := naming{family: "Keras", source: map[string]source{}, preprocess: "unit"}
	if k.published() {
		n.preprocess = "caffe"
	}
	places, arrays := k.places(placed)
	var flat arch.Shape // of a map that was flattened since the last layer with parameters
	i := 0
	bytes := k.ofBytes(places, arrays)
	for _, layer := range placed {
		if _, ok := layer.Op.(arch.Flatten); ok {
			flat = layer.In
		}
		if len(layer.Params) == 0 {
			continue
		}
		place, array := places[i], arrays[i]
		i++
		for _, p := range layer.Params {
			role := p.Role()
			s := source{name: array[role]}
			fixed := place.Fixed[role]
			switch _, conv := layer.Op.(arch.Conv); {
			case len(fixed) == 1:
				s = source{fill: fixed[0]}
			case len(fixed) > 1:
				s = source{values: fixed}
			case s.name == "" && slices.Contains(place.Roles, role):
				s.name = k.missing(place, role)
			case s.name == "":
				if role == "gamma" {
					s.fill = 1
				}
			case role == "w" && conv:
				s.layout = hwio
				if place.OIHW {
					s.layout.axes = nil
				}
				s.layout.flip = k.theano(place.OIHW)
			case role == "w":
				s.layout = inOut
				if place.HWC {
					s.layout.flat = flat
				}
			}
			if place.Normalises && bytes[place.Name] {
				s.layout.scale = map[string]float32{"mean": 1. / 255, "var": 1. / (255 * 255)}[role]
			}
			n.source[p.Name] = s
		}
		flat = arch.Shape{}
	}
	n.bookkeeping = func(name string) bool { return !k.held[name] }
	return n
}

// ofBytes tells which layers normalise samples of 0 to 255, by the means that they have learnt. Pictures are prepared
// as 0 to 1.
func (k *keras) ofBytes(places []arch.KerasLayer, arrays []map[string]string) map[string]bool {
	found := map[string]bool{}
	for i, place := range places {
		if !place.Normalises {
			continue
		}
		if t, err := k.file.Tensor(arrays[i]["mean"]); err == nil && len(t.Data) > 0 {
			found[place.Name] = slices.Max(t.Data) > arch.BytesFrom
		}
	}
	return found
}

// missing is what an array that is not there would be called.
func (k *keras) missing(place arch.KerasLayer, role string) string {
	if k.ordered {
		return place.Name + "/" + kerasWords[role]
	}
	return fmt.Sprintf("%s/vars/%d", place.Path, slices.Index(place.Roles, role))
}

var kerasWords = map[string]string{"w": "kernel", "b": "bias", "gamma": "gamma", "beta": "beta", "mean": "moving_mean",
	"var": "moving_variance"}

// places says for each of a network's layers with parameters how its arrays lie, and which they are by role.
func (k *keras) places(placed []arch.Placed) (places []arch.KerasLayer, arrays []map[string]string) {
	var layers []arch.Placed
	for _, layer := range placed {
		if len(layer.Params) > 0 {
			layers = append(layers, layer)
		}
	}
	if k.model == nil || !sameKinds(layers, k.model.Network.Layers) {
		return k.guess(layers)
	}
	for _, place := range k.model.Layers {
		arrays = append(arrays, k.find(place))
	}
	return k.model.Layers, arrays
}

// sameKinds reports whether layers are those with parameters of a network, by their kinds.
func sameKinds(layers []arch.Placed, network []arch.Layer) bool {
	i := 0
	for _, layer := range network {
		switch layer.Op.(type) {
		case arch.Conv, arch.Linear, arch.BatchNorm:
			if i == len(layers) || layers[i].Op.Kind() != layer.Op.Kind() {
				return false
			}
			i++
		}
	}
	return i == len(layers)
}

// find returns a described layer's arrays.
func (k *keras) find(place arch.KerasLayer) map[string]string {
	var named []int
	for i, l := range k.layers {
		switch {
		case !k.ordered && l.name == place.Path, k.ordered && l.name == place.Name:
			named = append(named, i)
		// the one layer of a model in the model
		case k.ordered && place.Model != "" && l.group == place.Model && l.name == place.Model:
			named = append(named, i)
		}
	}
	if len(named) > 1 { // models in the model may have layers of one name
		named = slices.DeleteFunc(named, func(i int) bool { return k.layers[i].group != cmp.Or(place.Model, place.Name) })
	}
	if len(named) != 1 {
		return nil
	}
	layer := k.layers[named[0]]
	if k.ordered {
		return layer.array
	}
	array := map[string]string{}
	if len(layer.vars) == len(place.Roles) {
		for i, role := range place.Roles {
			array[role] = layer.vars[i]
		}
	}
	return array
}

// guess takes the file's layers one after another: all in order, or those of each kind where the file tells no more.
// Kernels are O,I,H,W, and maps flattened in C,H,W order, where the first kernel has such a shape.
func (k *keras) guess(layers []arch.Placed) (places []arch.KerasLayer, arrays []map[string]string) {
	next := map[string]int{} // of a kind's layers, or of all
	lists := map[string][]kerasLayer{"": k.layers}
	for _, l := range k.layers {
		lists[l.kind] = append(lists[l.kind], l)
		// a model in the model: its place among the layers is not told
		if strings.Count(l.name, "layers/") > 1 && !k.ordered {
			lists = nil
			break
		}
	}
	first, oihw := true, false
	for _, layer := range layers {
		kind := layer.Op.Kind()
		from := kind
		if k.ordered {
			from = ""
		}
		var array map[string]string
		if list, i := lists[from], next[from]; i < len(list) && list[i].kind == kind {
			array = list[i].array
			next[from]++
		}
		place := arch.KerasLayer{Name: layer.Name, Path: "layers/" + layer.Name}
		for _, p := range layer.Params {
			role := p.Role()
			if array == nil || role != "b" && role != "gamma" && role != "beta" {
				place.Roles = append(place.Roles, role)
			}
			if t, ok := k.file.Info(array[role]); ok && role == "w" && kind == "conv" && first {
				oihw = !slices.Equal(t.Shape, hwio.shape(p)) && slices.Equal(t.Shape, p.Shape)
				first = false
			}
		}
		place.OIHW, place.HWC = oihw, !oihw
		places, arrays = append(places, place), append(arrays, array)
	}
	return places, arrays
}

// published reports whether the layers are those of Keras' VGG16 or VGG19, whose weights are the paper's authors' own,
// made with Caffe on pictures in the order blue, green, red (keras/src/applications/vgg16.py), or a network's that was
// made from them. Nothing else in a file tells of its pictures, but a layer that scales them. Keras 3's files without a
// description have no names: a VGG of ImageNet's classes counts.
func (k *keras) published() bool {
	names := map[string]bool{}
	kinds := map[string]int{}
	var last kerasLayer
	for _, l := range k.layers {
		names[l.name] = true
		kinds[l.kind]++
		if l.kind == (arch.Linear{}).Kind() {
			last = l
		}
	}
	if k.model != nil {
		if k.model.Rescaled {
			return false
		}
		for _, l := range k.model.Layers {
			names[l.Name] = true
		}
	} else if !k.ordered {
		w, _ := k.file.Info(last.array["w"])
		convs := kinds[arch.Conv{}.Kind()]
		return (convs == 13 || convs == 16) && kinds[arch.Linear{}.Kind()] == 3 && slices.Equal(w.Shape, []int{4096, 1000})
	}
	for block, convs := range []int{2, 2, 3, 3, 3} {
		for i := range convs {
			if !names[fmt.Sprintf("block%d_conv%d", block+1, i+1)] {
				return false
			}
		}
	}
	return true
}

// theano reports whether kernels are turned by half a circle, as Theano's convolution wants them. Theano was the
// backend of Keras 1 where the file names none: a network for digits of 2016 reads 77 of 80 printed ones so, and 70 the
// other way.
func (k *keras) theano(oihw bool) bool {
	backend := k.file.Metadata["backend"]
	return backend == "theano" || backend == "" && oihw
}
