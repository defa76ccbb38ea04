// Package strict reads the JSON that people, clients and files give us, by one library and with its words made ours. A
// name that stands twice in an object is an error, as are bytes that are no UTF-8, more than 10,000 arrays and objects
// in each other, and anything behind the value; a name in other letters is another name.
package strict

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal decodes a text into what v points to. Members that it does not know are passed over.
func Unmarshal(text []byte, v any) error { return Error(json.Unmarshal(text, v)) }

// UnmarshalKnown is Unmarshal where each member must be known: what a person wrote may be mistyped.
func UnmarshalKnown(text []byte, v any) error {
	return Error(json.Unmarshal(text, v, json.RejectUnknownMembers(true)))
}

// Syntax is an error, in which is a *jsontext.SyntacticError, unless a text is one JSON value. Names that stand twice
// are left to who walks through it by Decoder.
func Syntax(text []byte) error {
	if jsontext.Value(text).IsValid(repeated) {
		return nil
	}
	return Error(json.Unmarshal(text, new(jsontext.Value), repeated))
}

// Decoder reads a text token by token, names that stand twice too.
func Decoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), repeated)
}

var repeated = jsontext.AllowDuplicateNames(true)

// Error is an error of the library's without its name. Its verb is "cannot" or "unable to", as chance has it. Errors
// that it wraps are still found by errors.As.
func Error(err error) error {
	if err == nil {
		return nil
	}
	return &told{err}
}

type told struct{ error }

func (e *told) Error() string { return words.Replace(e.error.Error()) }
func (e *told) Unwrap() error { return e.error }

var words = strings.NewReplacer("jsontext: ", "", "json: ", "", "unable to ", "cannot ")
