package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// jsonText is valid JSON, or a part of one. The protocol's names are case-sensitive, which encoding/json's are not; and
// its requests hold megabytes of numbers, which are left where they are.
type jsonText []byte

// validJSON checks a body; its error says where it is wrong.
func validJSON(body []byte) (jsonText, error) {
	if !json.Valid(body) {
		var raw json.RawMessage
		return nil, decodeJSON(body, &raw)
	}
	return bytes.TrimSpace(body), nil
}

// value cuts the first value off the front.
func (t jsonText) value() (value, rest jsonText) {
	depth, quoted := 0, false
	for i := 0; i < len(t); i++ {
		c := t[i]
		switch {
		case quoted:
			switch c {
			case '\\':
				i++
			case '"':
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case (c == '}' || c == ']') && depth > 0:
			depth--
		case depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']'): // behind the value
			return bytes.TrimSpace(t[:i]), t[i:]
		}
	}
	return bytes.TrimSpace(t), nil
}

// empty reports whether nothing but a closing bracket is left.
func (t jsonText) empty() bool {
	t = bytes.TrimSpace(t)
	return len(t) == 0 || t[0] == '}' || t[0] == ']'
}

// maxMembers is the most members of an object, more than any request has.
const maxMembers = 64

// members calls do for each member of an object, called what in errors. It is an error if a name comes twice: JSON
// leaves open which of the two counts (RFC 8259, section 4).
func (t jsonText) members(what string, do func(name string, value jsonText) error) error {
	if len(t) == 0 || t[0] != '{' {
		return fmt.Errorf("%s is no object", what)
	}
	seen := map[string]bool{}
	for rest := t[1:]; !rest.empty(); rest = rest[1:] {
		var key, value jsonText
		key, rest = rest.value()
		value, rest = rest[1:].value()
		var name string
		if err := json.Unmarshal(key, &name); err != nil {
			return err
		}
		switch {
		case seen[name]:
			return fmt.Errorf("%s comes twice in %s", clip(name), what)
		case len(seen) == maxMembers:
			return fmt.Errorf("%s has more than %d members", what, maxMembers)
		}
		seen[name] = true
		if err := do(name, value); err != nil {
			return err
		}
	}
	return nil
}

// kind is what a value is, with its article: "an object", "a string".
func (t jsonText) kind() string {
	switch t[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a truth value"
	case 'n':
		return "null"
	}
	return "a number"
}

// elements calls do for each element of an array.
func (t jsonText) elements(what string, do func(value jsonText) error) error {
	if len(t) == 0 || t[0] != '[' {
		return fmt.Errorf("%s is no array", what)
	}
	for rest := t[1:]; !rest.empty(); rest = rest[1:] {
		var value jsonText
		value, rest = rest.value()
		if err := do(value); err != nil {
			return err
		}
	}
	return nil
}

// scalar decodes a string, a number or a truth value.
func (t jsonText) scalar(what string, v any) error {
	if bytes.Equal(t, []byte("null")) {
		return fmt.Errorf("%s is null", what)
	}
	if err := json.Unmarshal(t, v); err != nil {
		return fmt.Errorf("%s is %s, which it cannot be", what, clip(string(t)))
	}
	return nil
}
