package strict

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestUnmarshal(t *testing.T) {
	type thing struct {
		Name string `json:"name"`
		Of   []int  `json:"of"`
	}
	for _, c := range []struct{ what, text, fault string }{
		{"as it should be", `{"name": "a", "of": [1]}`, ""},
		{"twice", `{"name": "a", "name": "b"}`, "duplicate"},
		{"twice, spelt otherwise", `{"name": "a", "n\u0061me": "b"}`, "duplicate"},
		{"of another kind", `{"of": "a"}`, "string"},
		{"more behind it", `{"name": "a"} {}`, "after top-level value"},
		{"cut off", `{"name": "a"`, "EOF"},
		{"no UTF-8", "{\"name\": \"\xff\"}", "UTF-8"},
		{"deep", strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), "depth"},
	} {
		var v thing
		var err error
		if c.what == "deep" {
			var any jsontext.Value
			err = Unmarshal([]byte(c.text), &any)
		} else {
			err = Unmarshal([]byte(c.text), &v)
		}
		switch {
		case c.fault == "" && (err != nil || v.Name != "a" || len(v.Of) != 1):
			t.Errorf("%s: %+v, %v", c.what, v, err)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s: error %v, want %q", c.what, err, c.fault)
		case err != nil && (strings.Contains(err.Error(), "json: ") || strings.Contains(err.Error(), "jsontext: ")):
			t.Errorf("%s: %v names the library", c.what, err)
		}
	}

	const other = `{"Name": "a"}` // another member
	v := thing{Name: "before"}
	if err := Unmarshal([]byte(other), &v); err != nil || v.Name != "before" {
		t.Errorf("%+v, %v", v, err)
	}
	if err := UnmarshalKnown([]byte(other), &v); err == nil || !strings.Contains(err.Error(), `"Name"`) {
		t.Errorf("an unknown member: %v", err)
	}
}

// TestSyntax: names that stand twice are for the caller, who finds both; all else is as for Unmarshal.
func TestSyntax(t *testing.T) {
	twice := []byte(`{"a": 1, "a": 2}`)
	if err := Syntax(twice); err != nil {
		t.Error(err)
	}
	names := 0
	for d := Decoder(twice); ; {
		token, err := d.ReadToken()
		if err != nil {
			break
		}
		if token.Kind() == '"' && token.String() == "a" {
			names++
		}
	}
	if names != 2 {
		t.Errorf("%d names, want 2", names)
	}
	for text, at := range map[string]int64{`{"a":`: 5, "[1] 2": 4, "": 0} {
		err := Syntax([]byte(text))
		var syntax *jsontext.SyntacticError
		if !errors.As(err, &syntax) || syntax.ByteOffset != at {
			t.Errorf("%q: %v, want an error at byte %d", text, err, at)
		}
	}
}
