package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// decode reads one JSON text into what to points at. encoding/json ignores the case of names, passes over null and what
// is lacking, and takes the last of two members of one name. So what was read is written again and must be what came:
// the same tree of as many tokens.
func decode(text []byte, what string, by clause, to any) error {
	if !utf8.Valid(text) || !json.Valid(text) { // which bounds the depth
		return jsonText.violated("%s is not JSON in UTF-8: %s", what, short(text))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return by.violated("%s: %v", what, err)
	}
	again, _ := json.Marshal(to) // it came from JSON
	if len(tokens(text)) != len(tokens(again)) || !reflect.DeepEqual(tree(text), tree(again)) {
		return by.violated("%s is %s, which its schema has as %s", what, short(text), short(again))
	}
	return nil
}

// tokens are a valid text's, with numbers as they are written.
func tokens(text []byte) (all []json.Token) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for token, err := d.Token(); err == nil; token, err = d.Token() {
		all = append(all, token)
	}
	return all
}

// tree is a valid text's value, with numbers as they are written.
func tree(text []byte) (value any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&value)
	return value
}

// short is the beginning of a text, for errors.
func short(text []byte) string { return fmt.Sprintf("%.200s", text) }
