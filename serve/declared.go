package serve

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// What an endpoint may be told stands in openapi.yaml, and here every request is held against it before its handler
// runs: what the document does not know, knows once, or knows as another kind of value, is refused by name. A parameter
// that is misspelt or out of range would otherwise be passed over, and the answer be another than the one that was
// asked for.

// declared is what one endpoint takes.
type declared struct {
	route  string // "POST /v1/classify"
	query  map[string]parameter
	header map[string]parameter
	body   bool
}

// parameter is one of its values in the URL or a header.
type parameter struct {
	Ref         string `yaml:"$ref"`
	Name        string `yaml:"name"`
	In          string `yaml:"in"`
	Required    bool   `yaml:"required"`
	Description string `yaml:"description"`
	Schema      struct {
		Type    string   `yaml:"type"`
		Enum    []string `yaml:"enum"`
		Minimum *int64   `yaml:"minimum"`
		Maximum *int64   `yaml:"maximum"`
		Default *string  `yaml:"default"`
	} `yaml:"schema"`
}

// operation is an endpoint as the document has it.
type operation struct {
	Parameters  []parameter `yaml:"parameters"`
	RequestBody yaml.Node   `yaml:"requestBody"`
}

// endpoints are all that openapi.yaml declares, by ServeMux's patterns.
var endpoints = sync.OnceValues(func() (map[string]declared, error) {
	var doc struct {
		Paths map[string]struct {
			Parameters []parameter `yaml:"parameters"`
			Get        *operation  `yaml:"get"`
			Post       *operation  `yaml:"post"`
		} `yaml:"paths"`
		Components struct {
			Parameters map[string]parameter `yaml:"parameters"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		return nil, err
	}
	all := map[string]declared{}
	for path, item := range doc.Paths {
		for method, op := range map[string]*operation{http.MethodGet: item.Get, http.MethodPost: item.Post} {
			if op == nil {
				continue
			}
			d := declared{route: method + " " + path, query: map[string]parameter{}, header: map[string]parameter{},
				body: op.RequestBody.Kind != 0}
			for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
				if name, is := strings.CutPrefix(p.Ref, "#/components/parameters/"); is {
					p = doc.Components.Parameters[name]
				}
				if (p.Schema.Type == "integer" || p.Schema.Type == "number") &&
					(p.Schema.Minimum == nil || p.Schema.Maximum == nil) {
					return nil, fmt.Errorf("openapi.yaml: %s of %s has no minimum and maximum", p.Name, d.route)
				}
				switch p.In {
				case "query":
					d.query[p.Name] = p
				case "header":
					d.header[p.Name] = p
				}
			}
			if strings.HasSuffix(path, "/") {
				path += "{$}" // ServeMux's word for no more than that
			}
			all[method+" "+path] = d
		}
	}
	return all, nil
})

// checked is an endpoint whose requests are held against what the document declares for its pattern.
func checked(pattern string, serve endpoint) endpoint {
	return func(c *call) error {
		all, err := endpoints()
		if err != nil {
			return err
		}
		d, ok := all[pattern]
		if !ok {
			return fmt.Errorf("openapi.yaml does not describe %s", pattern)
		}
		if err := c.takeParameters(d); err != nil {
			return err
		}
		if !d.body {
			if err := c.noBody(d); err != nil {
				return err
			}
		}
		return serve(c)
	}
}

// takeParameters checks the URL's query and the headers, and keeps the query's values, with defaults in place.
func (c *call) takeParameters(d declared) error {
	wrong := func(hint, format string, args ...any) error {
		return refuse(badRequest, hint, format, args...)
	}
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return wrong("write it as ?name=value&name=value, other characters as %XX", "the URL's query cannot be read: %v", err)
	}
	c.query = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p, known := d.query[name]
		switch given := values[name]; {
		case !known:
			return wrong(d.takes(), "there is no parameter %q", clip(name))
		case len(given) > 1:
			return wrong("give it once", "%s comes %d times", name, len(given))
		default:
			if fault := p.fault(given[0]); fault != "" {
				return wrong(p.hint(), "%s", fault)
			}
			c.query[name] = given[0]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.query)) {
		p := d.query[name]
		if _, given := c.query[name]; given {
			continue
		}
		if p.Required {
			return wrong(p.hint(), "no %s is given", name)
		}
		if p.Schema.Default != nil {
			c.query[name] = *p.Schema.Default
		}
	}
	for name, p := range d.header {
		given := c.r.Header.Values(name)
		if len(given) > 1 {
			return wrong("give it once", "the header %s comes %d times", name, len(given))
		}
		if len(given) == 1 {
			if fault := p.fault(given[0]); fault != "" {
				return wrong(p.hint(), "the header %s", fault)
			}
		}
	}
	return nil
}

// takes lists what an endpoint may be told in its URL.
func (d declared) takes() string {
	names := slices.Sorted(maps.Keys(d.query))
	if len(names) == 0 {
		return d.route + " takes no parameters"
	}
	return d.route + " takes " + strings.Join(names, ", ")
}

// wholeNumber is JSON's, and so is anyNumber.
var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	anyNumber   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// fault says what is wrong with a value; empty: nothing.
func (p parameter) fault(value string) string {
	named := p.Name + "=" + clip(value)
	if p.In == "header" {
		named = p.Name + ": " + clip(value)
	}
	s := p.Schema
	switch {
	case value == "":
		return p.Name + " is empty"
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, value):
		return named + " is none of " + strings.Join(s.Enum, ", ")
	case s.Type == "number":
		return p.numberFault(named, value)
	case s.Type != "integer":
		return ""
	case !wholeNumber.MatchString(value):
		return named + " is no number: a whole one is wanted"
	}
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case s.Minimum != nil && (n < *s.Minimum || err != nil && value[0] == '-'):
		return fmt.Sprintf("%s is less than %d", named, *s.Minimum)
	case s.Maximum != nil && n > *s.Maximum, err != nil:
		return fmt.Sprintf("%s is more than %d", named, *s.Maximum)
	}
	return ""
}

// numberFault is fault for a number that need not be whole. It is above its minimum.
func (p parameter) numberFault(named, value string) string {
	v, err := strconv.ParseFloat(value, 64)
	switch {
	case !anyNumber.MatchString(value) || err != nil:
		return named + " is no number"
	case v <= float64(*p.Schema.Minimum):
		return fmt.Sprintf("%s is not more than %d", named, *p.Schema.Minimum)
	case v > float64(*p.Schema.Maximum):
		return fmt.Sprintf("%s is more than %d", named, *p.Schema.Maximum)
	}
	return ""
}

// hint says what a parameter may be.
func (p parameter) hint() string {
	s := p.Schema
	hint := p.Name + " is "
	switch {
	case len(s.Enum) > 0:
		hint += "one of " + strings.Join(s.Enum, ", ")
	case s.Type == "integer" && *s.Maximum >= math.MaxInt32: // which only keeps sums of an int
		hint += fmt.Sprintf("a whole number of at least %d", *s.Minimum)
	case s.Type == "integer":
		hint += fmt.Sprintf("a whole number from %d to %d", *s.Minimum, *s.Maximum)
	case s.Type == "number":
		hint += fmt.Sprintf("a number above %d, %d at most", *s.Minimum, *s.Maximum)
	default:
		hint += "text"
	}
	if p.Description != "" {
		hint += ": " + p.Description
	}
	if s.Default != nil {
		hint += "; without it " + *s.Default
	}
	return hint
}

// noBody refuses a body where none is read: what stands in it would be passed over.
func (c *call) noBody(d declared) error {
	n := c.r.ContentLength
	if n < 0 { // not announced: there may be none
		c.patience()
		if _, err := io.ReadFull(c.r.Body, make([]byte, 1)); err == nil {
			n = 1
		} else if !errors.Is(err, io.EOF) {
			return c.broken(err)
		}
	}
	if n <= 0 {
		return nil
	}
	c.hangUp() // rather than reading it
	return refuse(badRequest, d.takes()+", in the URL", "%s takes no body", d.route)
}

// text is a checked value of the URL, or its default; empty if there is neither.
func (c *call) text(name string) string { return c.query[name] }

// number is a checked number of the URL, or its default; given is false if there is neither.
func (c *call) number(name string) (n int, given bool) {
	text, given := c.query[name]
	n, _ = strconv.Atoi(text) // it is one
	return n, given
}

// fraction is a checked number of the URL that need not be whole, or its default.
func (c *call) fraction(name string) float64 {
	v, _ := strconv.ParseFloat(c.query[name], 64) // it is one
	return v
}

// numbers are several that have defaults.
func (c *call) numbers(names ...string) (all []int) {
	for _, name := range names {
		n, _ := c.number(name)
		all = append(all, n)
	}
	return all
}
