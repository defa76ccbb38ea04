package keras

import "github.com/vggo/vggo/arch"

// settings are a layer's, under their names in Keras 2 and 3, then Keras 1.
type settings map[string]any

func (s settings) value(names ...string) any {
	for _, name := range names {
		if v, ok := s[name]; ok && v != nil {
			return v
		}
	}
	return nil
}

// text is a setting that must be text: another type is no known word.
func (s settings) text(otherwise string, names ...string) string {
	switch v := s.value(names...).(type) {
	case nil:
		return otherwise
	case string:
		return v
	default:
		return "(no text)"
	}
}

func (s settings) activation() string {
	if v, ok := s.value("activation").(map[string]any); ok { // an object of Keras 3, whose config is a function's name
		return settings(v).text("", "config")
	}
	return s.text("linear", "activation")
}

func (s settings) truth(otherwise bool, names ...string) bool {
	if v, ok := s.value(names...).(bool); ok {
		return v
	}
	return otherwise
}

func (s settings) number(otherwise float64, names ...string) float64 {
	if v, ok := s.value(names...).(float64); ok {
		return v
	}
	return otherwise
}

// plain reports whether a setting is left out or is this number.
func (s settings) plain(number float64, name string) bool {
	v := s.value(name)
	return v == nil || v == number
}

// axis is a setting that must be one axis, or a list of one. ok is false for anything else.
func (s settings) axis(otherwise int) (axis int, ok bool) {
	v := s.value("axis")
	if list, isList := v.([]any); isList && len(list) == 1 {
		v = list[0]
	}
	if v == nil {
		return otherwise, true
	}
	f, ok := v.(float64)
	return int(f), ok
}

// numbers is a setting of several numbers, however they are nested, or of one.
func (s settings) numbers(name string) (list []float64, ok bool) {
	var walk func(v any, depth int) bool
	walk = func(v any, depth int) bool {
		switch v := v.(type) {
		case float64:
			list = append(list, v)
			return true
		case []any:
			for _, w := range v {
				if depth > 8 || !walk(w, depth+1) {
					return false
				}
			}
			return true
		}
		return false
	}
	ok = walk(s.value(name), 0) && len(list) > 0
	return list, ok
}

func (s settings) list(names ...string) []any {
	v, _ := s.value(names...).([]any)
	return v
}

func (s settings) int(names ...string) int { return whole(s.value(names...)) }

// whole is a JSON number that is a positive integer, else 0.
func whole(v any) int {
	f, ok := v.(float64)
	if !ok || f < 1 || f > 1<<30 || f != float64(int(f)) {
		return 0
	}
	return int(f)
}

// size is a pair of numbers, or one for both; the zero Size where there is neither.
func (s settings) size(names ...string) arch.Size {
	switch v := s.value(names...).(type) {
	case float64:
		return arch.Square(whole(v))
	case []any:
		if len(v) == 2 {
			return arch.Size{H: whole(v[0]), W: whole(v[1])}
		}
	}
	return arch.Size{}
}

const channelsFirst = "channels_first"

// order is that of a map's axes in a layer that is told it; Keras 1 has Theano's and TensorFlow's.
func (s settings) order() string {
	switch order := s.text("", "data_format", "dim_ordering"); order {
	case "th":
		return channelsFirst
	default:
		return order
	}
}

// padding is a ZeroPadding2D's: one number, one for each direction, or two.
func (s settings) padding() (arch.Padding, bool) {
	side := func(v any) (int, bool) {
		f, ok := v.(float64)
		return int(f), ok && f >= 0 && f <= 1<<20 && f == float64(int(f))
	}
	pair := func(v any) (from, to int, ok bool) {
		if list, isList := v.([]any); isList {
			if len(list) != 2 {
				return 0, 0, false
			}
			from, ok1 := side(list[0])
			to, ok2 := side(list[1])
			return from, to, ok1 && ok2
		}
		n, ok := side(v)
		return n, n, ok
	}
	v := s.value("padding")
	rows, columns := v, v
	if list, ok := v.([]any); ok && len(list) == 2 {
		rows, columns = list[0], list[1]
	}
	top, bottom, ok1 := pair(rows)
	left, right, ok2 := pair(columns)
	return arch.Padding{Top: top, Bottom: bottom, Left: left, Right: right}, ok1 && ok2
}
