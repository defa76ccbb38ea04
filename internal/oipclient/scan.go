package oipclient

import (
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// This scanner exists because encoding/json ignores the case of names, passes over what a struct lacks and takes the last of two
// members of one name: all of which a strict client must see.

// cursor walks through a text that json.Valid has passed, without copying it.
type cursor struct {
	text []byte
	at   int
}

// next passes over white space and tells the byte there, 0 at the end.
func (c *cursor) next() byte {
	for ; c.at < len(c.text); c.at++ {
		switch b := c.text[c.at]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
	return 0
}

// take passes over a byte if it comes next.
func (c *cursor) take(b byte) bool {
	if c.next() != b {
		return false
	}
	c.at++
	return true
}

// value passes over one value and returns its text.
func (c *cursor) value() []byte {
	c.next()
	start := c.at
	for depth := 0; c.at < len(c.text); {
		switch c.text[c.at] {
		case '"':
			c.passString()
			if depth == 0 {
				return c.text[start:c.at]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // of the array or object around a number or literal
				return c.text[start:c.at]
			}
			if depth--; depth == 0 {
				c.at++
				return c.text[start:c.at]
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return c.text[start:c.at]
			}
		}
		c.at++
	}
	return c.text[start:c.at]
}

// passString passes over a string, at whose opening quote the cursor stands.
func (c *cursor) passString() {
	for c.at++; c.at < len(c.text); c.at++ {
		switch c.text[c.at] {
		case '\\':
			c.at++
		case '"':
			c.at++
			return
		}
	}
	c.at = len(c.text)
}

// object is the members of a JSON object, and what it is called in errors.
type object struct {
	what    string
	clause  Clause // that says which members it has
	members map[string][]byte
}

// parseObject reads an object that has the required members, perhaps the optional ones, and no others.
func parseObject(text []byte, what string, clause Clause, required []string, optional ...string) (object, error) {
	o := object{what, clause, map[string][]byte{}}
	err := o.read(text, func(name string) error {
		if !slices.Contains(required, name) && !slices.Contains(optional, name) {
			return clause.violated("%s has the member %q, which the specification does not", what, name)
		}
		return nil
	})
	if err != nil {
		return o, err
	}
	for _, name := range required {
		if _, ok := o.members[name]; !ok {
			return o, clause.violated("%s lacks %q", what, name)
		}
	}
	return o, nil
}

// read fills members, each name of which check has to pass.
func (o object) read(text []byte, check func(name string) error) error {
	c := cursor{text: text}
	if !c.take('{') {
		return o.clause.violated("%s is %s, not an object", o.what, short(text))
	}
	for !c.take('}') {
		name, ok := parseString(c.value())
		if !ok || !c.take(':') {
			return jsonText.violated("%s is not a JSON object", o.what)
		}
		if _, twice := o.members[name]; twice {
			return jsonObject.violated("%s has the member %q twice", o.what, name)
		}
		if err := check(name); err != nil {
			return err
		}
		o.members[name] = c.value()
		if !c.take(',') && c.next() != '}' {
			return jsonText.violated("%s is not a JSON object", o.what)
		}
	}
	return nil
}

// text is a string member; the empty string where there is none, which the caller has checked if it is required.
func (o object) text(name string) (string, error) {
	raw, ok := o.members[name]
	if !ok {
		return "", nil
	}
	s, ok := parseString(raw)
	if !ok {
		return "", o.clause.violated("%s: %q is %s, not a string", o.what, name, short(raw))
	}
	return s, nil
}

// list calls do for each element of an array, if there is one of that name.
func (o object) list(name string, do func(element []byte) error) error {
	raw, ok := o.members[name]
	if !ok {
		return nil
	}
	c := cursor{text: raw}
	if !c.take('[') {
		return o.clause.violated("%s: %q is %s, not an array", o.what, name, short(raw))
	}
	for !c.take(']') {
		if err := do(c.value()); err != nil {
			return err
		}
		if !c.take(',') && c.next() != ']' {
			return jsonText.violated("%s: %q is not a JSON array", o.what, name)
		}
	}
	return nil
}

// parseString decodes a JSON string; ok is false for other values.
func parseString(raw []byte) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// validJSON refuses what is not one JSON text in UTF-8 (RFC 8259, sections 2 and 8.1). json.Valid bounds the depth.
func validJSON(text []byte, what string) error {
	if !utf8.Valid(text) {
		return jsonEncoding.violated("%s is not UTF-8", what)
	}
	if !json.Valid(text) {
		return jsonText.violated("%s is not JSON: %s", what, short(text))
	}
	return nil
}

// short is the beginning of a text, for errors.
func short(text []byte) string {
	const most = 60
	if len(text) == 0 {
		return "empty"
	}
	if len(text) <= most {
		return string(text)
	}
	return string(text[:most]) + "..."
}
