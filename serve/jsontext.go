package serve

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vggo/vggo/internal/strict"
)

// jsonText is valid JSON, or a part of one. Requests hold megabytes of numbers, which are left where they are.
type jsonText []byte

// validJSON checks a body; its error says where it is wrong. Names that come twice are left to members, which says in
// what.
func validJSON(body []byte) (jsonText, error) {
	err := strict.Syntax(body)
	if err == nil {
		return bytes.TrimSpace(body), nil
	}
	at := int64(0)
	if syntax := (*jsontext.SyntacticError)(nil); errors.As(err, &syntax) {
		at = syntax.ByteOffset
	}
	return nil, refuse(badJSON, jsonHint, "the JSON breaks off or is wrong at byte %d: %v", at, err)
}

const jsonHint = "GET /openapi.yaml describes what is read"

// maxMembers is the most members of an object, more than any request has.
const maxMembers = 64

// inside reads what t holds behind its opening bracket; the decoder's values are parts of t.
func (t jsonText) inside() *jsontext.Decoder {
	d := strict.Decoder(t)
	_, _ = d.ReadToken() // t is valid
	return d
}

// next is the value that comes next.
func (t jsonText) next(d *jsontext.Decoder) (jsonText, error) {
	value, err := d.ReadValue()
	end := int(d.InputOffset())
	return t[end-len(value) : end], err // the decoder may use its own again
}

// members calls do for each member of an object, called what in errors. It is an error if a name comes twice: JSON
// leaves open which of the two counts (RFC 8259, section 4).
func (t jsonText) members(what string, do func(name string, value jsonText) error) error {
	if t.kind() != "an object" {
		return fmt.Errorf("%s is no object", what)
	}
	seen := map[string]bool{}
	for d := t.inside(); d.PeekKind() != '}'; {
		key, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := key.String()
		value, err := t.next(d)
		if err != nil {
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

// kinds are what a value is by its first letter, where it is no number, with their articles.
var kinds = map[byte]string{'{': "an object", '[': "an array", '"': "a string", 't': "a truth value",
	'f': "a truth value", 'n': "null"}

func (t jsonText) kind() string { return cmp.Or(kinds[t[0]], "a number") }

// elements calls do for each element of an array.
func (t jsonText) elements(what string, do func(value jsonText) error) error {
	if t.kind() != "an array" {
		return fmt.Errorf("%s is no array", what)
	}
	for d := t.inside(); d.PeekKind() != ']'; {
		value, err := t.next(d)
		if err != nil {
			return err
		}
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
	if err := strict.Unmarshal(t, v); err != nil {
		return fmt.Errorf("%s is %s, which it cannot be", what, clip(string(t)))
	}
	return nil
}
