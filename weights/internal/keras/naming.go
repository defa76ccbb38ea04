package keras

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// naming gives a network's layers with parameters the file's.
func (k *file) naming(placed []arch.Placed) format.Naming {
	n := format.Naming{Family: "Keras", Source: map[string]format.Source{}, Preprocess: "unit"}
	if k.published() {
		n.Preprocess = "caffe"
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
			s := format.Source{Name: array[role]}
			fixed := place.Fixed[role]
			stored, _ := k.list.Get(array[role])
			_, conv := layer.Op.(arch.Conv)
			switch {
			case len(fixed) == 1:
				s = format.Source{Fill: fixed[0]}
			case len(fixed) > 1:
				s = format.Source{Values: fixed}
			case s.Name == "" && slices.Contains(place.Roles, role):
				s.Name = k.missing(place, role)
			case s.Name == "":
				if role == "gamma" {
					s.Fill = 1
				}
			case role == "w" && (conv || len(stored.Shape) == 4):
				s.Layout = format.Layout{Axes: format.HWIO.Axes, Head: !conv, Flat: flat}
				if place.OIHW {
					s.Layout.Axes = nil
				}
				s.Layout.Flip = k.theano(place.OIHW)
			case role == "w":
				s.Layout = format.InOut
				if place.HWC {
					s.Layout.Flat = flat
				}
			}
			if place.Normalises && bytes[place.Name] {
				s.Layout.Scale = map[string]float32{"mean": 1. / 255, "var": 1. / (255 * 255)}[role]
			}
			n.Source[p.Name] = s
		}
		flat = arch.Shape{}
	}
	n.Bookkeeping = func(name string) bool { return !k.held[name] }
	return n
}

// ofBytes tells which layers normalise samples of 0 to 255, by the means that they have learnt. Pictures are prepared
// as 0 to 1.
func (k *file) ofBytes(places []place, arrays []map[string]string) map[string]bool {
	found := map[string]bool{}
	for i, place := range places {
		if !place.Normalises {
			continue
		}
		mean, ok := k.list.Get(arrays[i]["mean"])
		if !ok || !mean.DType.HoldsWeights() {
			continue
		}
		if values, err := mean.Floats(); err == nil && len(values) > 0 {
			found[place.Name] = slices.Max(values) > format.BytesFrom
		}
	}
	return found
}

// missing is what an array that is not there would be called.
func (k *file) missing(place place, role string) string {
	if k.ordered {
		return place.Name + "/" + words[role]
	}
	return fmt.Sprintf("%s/vars/%d", place.Path, slices.Index(place.Roles, role))
}

var words = map[string]string{"w": "kernel", "b": "bias", "gamma": "gamma", "beta": "beta", "mean": "moving_mean",
	"var": "moving_variance"}

// places says for each of a network's layers with parameters how its arrays lie, and which they are by role.
func (k *file) places(placed []arch.Placed) (places []place, arrays []map[string]string) {
	layers := format.Weighted(placed)
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
func (k *file) find(place place) map[string]string {
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
func (k *file) guess(layers []arch.Placed) (places []place, arrays []map[string]string) {
	next := map[string]int{} // of a kind's layers, or of all
	lists := map[string][]layer{"": k.layers}
	for _, l := range k.layers {
		lists[l.kind] = append(lists[l.kind], l)
		// a model in the model: its place among the layers is not told
		if strings.Count(l.name, "layers/") > 1 && !k.ordered {
			lists = nil
			break
		}
	}
	first, oihw := true, false
	conv := arch.Conv{}.Kind()
	for _, layer := range layers {
		kind := layer.Op.Kind()
		from := kind
		if k.ordered {
			from = ""
		}
		var array map[string]string
		_, linear := layer.Op.(arch.Linear) // which is a convolution in fully convolutional files, as VGG-Face's are
		if linear && !k.ordered && next[from] == len(lists[from]) {
			from = conv
		}
		if list, i := lists[from], next[from]; i < len(list) && (list[i].kind == kind || linear && list[i].kind == conv) {
			array = list[i].array
			next[from]++
		}
		place := place{Name: layer.Name, Path: "layers/" + layer.Name}
		for _, p := range layer.Params {
			role := p.Role()
			if array == nil || role != "b" && role != "gamma" && role != "beta" {
				place.Roles = append(place.Roles, role)
			}
			if t, ok := k.list.Get(array[role]); ok && role == "w" && kind == conv && first {
				oihw = !slices.Equal(t.Shape, format.HWIO.Shape(p)) && slices.Equal(t.Shape, p.Shape)
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
func (k *file) published() bool {
	names := map[string]bool{}
	kinds := map[string]int{}
	var last layer
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
		w, _ := k.list.Get(last.array["w"])
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
func (k *file) theano(oihw bool) bool {
	backend := k.metadata["backend"]
	return backend == "theano" || backend == "" && oihw
}
