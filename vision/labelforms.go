package vision

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"github.com/vggo/vggo/internal/strict"
)

// orderedObject is an object of JSON or a mapping of YAML in the order of its file, with what stands twice in it.
type orderedObject []member

type member struct {
	key   string
	value any // a text, a whole number (int), a list ([]any) or orderedObject; nil for anything else
}

// maxDepth is how deep lists and objects may lie in each other; Hugging Face's config.json has them two deep.
const maxDepth = 16

// labelMembers are what an object calls the labels in it, the surest first.
var labelMembers = []string{"id2label", "label2id", "class_to_idx", "class_indices", "names", "label_names",
	"class_names", "classes", "labels", "categories"}

var (
	yamlMember = regexp.MustCompile(`(?m)^["']?(` + strings.Join(labelMembers, "|") + `)["']?\s*:`)
	yamlItem   = regexp.MustCompile(`^- +\S`)
)

// structure reads JSON or YAML, if text looks like either.
func structure(text []byte) (told any, is bool, err error) {
	if text[0] == '[' || text[0] == '{' {
		if told, err = decodeJSON(text); err == nil {
			return told, true, nil
		}
		if told, yamlErr := decodeYAML(text); yamlErr == nil { // what Python prints of a dict is no JSON
			return told, true, nil
		}
		return nil, true, fmt.Errorf("labels as JSON: %w", err)
	}
	items := true
	for line := range bytes.Lines(text) {
		items = items && yamlItem.Match(line)
	}
	if !items && !yamlMember.Match(text) {
		return nil, false, nil
	}
	if told, err = decodeYAML(text); err != nil {
		return nil, true, fmt.Errorf("labels as YAML: %w", err)
	}
	return told, true, nil
}

// decodeJSON keeps a member that stands twice, which is said of the labels.
func decodeJSON(text []byte) (any, error) {
	d := strict.Decoder(text)
	told, err := jsonValue(d)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, strict.Error(err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errors.New("it goes on after its end")
	}
	return told, nil
}

func jsonValue(d *jsontext.Decoder) (any, error) {
	if d.StackDepth() > maxDepth {
		return nil, fmt.Errorf("more than %d lists and objects in each other", maxDepth)
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '"':
		return token.String(), nil
	case '0':
		if n, err := strconv.Atoi(token.String()); err == nil {
			return n, nil
		}
	case '[':
		var list []any
		for d.PeekKind() != ']' {
			value, err := jsonValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.ReadToken()
		return list, err
	case '{':
		var object orderedObject
		for d.PeekKind() != '}' {
			key, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			name := key.String() // before the decoder reads on
			value, err := jsonValue(d)
			if err != nil {
				return nil, err
			}
			object = append(object, member{name, value})
		}
		_, err := d.ReadToken()
		return object, err
	}
	return nil, nil // true, false, null, another number
}

func decodeYAML(text []byte) (any, error) {
	var document yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&document); err != nil {
		return nil, err
	}
	if err := d.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("it goes on after its end")
	}
	return yamlValue(&document, 0)
}

// yamlValue turns a node into what jsonValue makes. Aliases are refused: labels need none, and they multiply.
func yamlValue(node *yaml.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d lists and objects in each other", maxDepth)
	}
	switch node.Kind {
	case yaml.DocumentNode:
		return yamlValue(node.Content[0], depth)
	case yaml.ScalarNode:
		if n, err := strconv.Atoi(node.Value); err == nil && node.Tag == "!!int" {
			return n, nil
		}
		if node.Tag == "!!null" && node.Value != "null" {
			return nil, nil
		}
		return node.Value, nil // "no" and "on" are names as well
	case yaml.SequenceNode:
		var list []any
		for _, item := range node.Content {
			value, err := yamlValue(item, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.MappingNode:
		var object orderedObject
		for i := 0; i+1 < len(node.Content); i += 2 {
			value, err := yamlValue(node.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			object = append(object, member{node.Content[i].Value, value})
		}
		return object, nil
	}
	return nil, errors.New("aliases are not followed")
}

// errForm is for what is JSON or YAML, but no labels.
var errForm = errors.New(`labels must be a JSON array of strings, {"0": "cat"}, {"cat": 0} or {"0": ["n02123045", ` +
	`"cat"]}, alone or as ` +
	strings.Join(labelMembers[:5], ", "))

// labelsIn finds the labels in what a file of JSON or YAML holds.
func labelsIn(told any, depth int) (list []label, err error) {
	switch told := told.(type) {
	case []any:
		for _, item := range told {
			found := label{number: -1}
			switch item := item.(type) {
			case nil: // said as an empty name
			case orderedObject: // {"id": 0, "name": "cat"}
				for _, m := range item {
					number, isNumber := m.value.(int)
					name, isName := m.value.(string)
					switch {
					case m.key == "id" && isNumber:
						found.number = number
					case m.key == "name" && isName:
						found.synset, found.name = splitSynset(strings.TrimSpace(name))
					}
				}
				if found.name == "" {
					return nil, errForm
				}
			default:
				if found.synset, found.name, err = nameIn(item); err != nil {
					return nil, err
				}
			}
			list = append(list, found)
		}
	case orderedObject:
		for _, called := range labelMembers {
			for _, m := range told {
				inner, isObject := m.value.(orderedObject)
				items, isList := m.value.([]any)
				if m.key == called && depth == 0 && (len(inner) > 0 && isObject || len(items) > 0 && isList) {
					return labelsIn(m.value, depth+1)
				}
			}
		}
		for _, m := range told {
			if number, ok := m.value.(int); ok { // {"cat": 0}
				synset, name := splitSynset(strings.TrimSpace(m.key))
				list = append(list, label{number, synset, name})
				continue
			}
			number, err := strconv.Atoi(strings.TrimSpace(m.key)) // {"0": "cat"}
			if err != nil || m.value == nil {
				return nil, errForm
			}
			synset, name, err := nameIn(m.value)
			if err != nil {
				return nil, err
			}
			list = append(list, label{number, synset, name})
		}
		if slices.ContainsFunc(list, func(l label) bool { return l.number < 0 }) {
			return nil, errors.New("the numbers of classes begin with 0, and one is below it")
		}
	}
	if len(list) == 0 {
		return nil, errForm
	}
	return list, nil
}

// nameIn is a name, perhaps with its WordNet number before it: "n01440764 tench" or ["n01440764", "tench"].
func nameIn(told any) (synset, name string, err error) {
	switch told := told.(type) {
	case string:
		synset, name = splitSynset(strings.TrimSpace(told))
		return synset, name, nil
	case int: // of YAML, which writes the name 7 so
		return "", strconv.Itoa(told), nil
	case []any:
		if len(told) == 2 {
			first, isText := told[0].(string)
			second, areTexts := told[1].(string)
			if isText && areTexts {
				return first, strings.TrimSpace(second), nil
			}
		}
	}
	return "", "", errForm
}

// apart is what parts a number from a name: "0: cat", "0 -> cat", "0) cat", "0. cat", "0 - cat", "0 cat".
const apart = `(\s*(?:[:,;=|\t]|[=-]>)\s*|[.)]\s+|\s+-\s+|\s+)`

var (
	numberFirst = regexp.MustCompile(`^(\d{1,9})` + apart + `(\S.*)$`)
	numberLast  = regexp.MustCompile(`^(\S.*?)` + apart + `(\d{1,9})$`)
)

// labelsOnLines takes lines for names in order, unless all of them are numbered.
func labelsOnLines(lines []string) []label {
	if list := labelsInTable(lines); list != nil {
		return list
	}
	list := make([]label, len(lines))
	for i, line := range lines {
		list[i] = label{number: -1}
		list[i].synset, list[i].name = splitSynset(line)
	}
	for _, form := range []struct {
		pattern      *regexp.Regexp
		number, name int
	}{{numberFirst, 1, 3}, {numberLast, 3, 1}} {
		if numbered := numberedLines(list, form.pattern, form.number, form.name); numbered != nil {
			return numbered
		}
	}
	return list
}

// numberedLines takes the numbers out of lines that all have one. Numbers that a space, a dot or a dash parts from
// names may belong to these ("class 0", "10 rupees"): they count where they are those from 0 on and the names differ
// without them; those from 1 on, where the lines stand in another order, which is to be said. So they do after
// WordNet's numbers, and where the first is 0: then one that is missing is to be said.
func numberedLines(list []label, pattern *regexp.Regexp, number, name int) []label {
	numbered := make([]label, len(list))
	parted, synsets := true, true
	names, numbers := map[string]bool{}, map[int]bool{}
	inRange, fromOne, ascending := true, true, true
	for i, l := range list {
		found := pattern.FindStringSubmatch(l.name)
		if found == nil {
			return nil
		}
		n, err := strconv.Atoi(found[number])
		if err != nil {
			return nil
		}
		numbered[i] = label{number: n, synset: l.synset, name: found[name]}
		if l.synset == "" {
			numbered[i].synset, numbered[i].name = splitSynset(found[name])
		}
		parted = parted && strings.ContainsAny(found[2], ":,;=|>\t")
		synsets = synsets && l.synset != ""
		names[numbered[i].name], numbers[n] = true, true
		inRange = inRange && n < len(list)
		fromOne = fromOne && n > 0 && n <= len(list)
		ascending = ascending && n == i+1
	}
	whole := (inRange || fromOne && !ascending) && len(numbers) == len(list)
	if parted && len(list) > 1 || synsets || whole && len(names) == len(list) || number == 1 && numbered[0].number == 0 &&
		len(list) > 1 {
		return numbered
	}
	return nil
}

// labelsInTable reads a table of which one column holds each row's number: one with a heading, "ClassId,SignName", or
// one of two columns without.
func labelsInTable(lines []string) []label {
	comma := strings.IndexAny(lines[0], ",;\t")
	if comma < 0 || len(lines) < 2 {
		return nil
	}
	table := csv.NewReader(strings.NewReader(strings.Join(lines, "\n")))
	table.Comma = rune(lines[0][comma])
	rows, err := table.ReadAll()
	if err != nil || len(rows) != len(lines) { // rows of other lengths are an error too
		return nil
	}
	var headings []string
	isNumber := func(text string) bool {
		_, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
		return err == nil
	}
	if !slices.ContainsFunc(rows[0], isNumber) {
		headings, rows = rows[0], rows[1:]
	} else if headings = make([]string, len(rows[0])); len(headings) != 2 {
		return nil
	}
	number, name := -1, -1
	for column, heading := range headings {
		switch {
		case !slices.ContainsFunc(rows, func(row []string) bool { return !isNumber(row[column]) }):
			if number < 0 {
				number = column
			}
		case name < 0 || strings.Contains(strings.ToLower(heading), "name") &&
			!strings.Contains(strings.ToLower(headings[name]), "name"):
			name = column
		}
	}
	if number < 0 || name < 0 {
		return nil
	}
	list := make([]label, len(rows))
	for i, row := range rows {
		list[i].number, _ = strconv.Atoi(strings.TrimSpace(row[number]))
		list[i].synset, list[i].name = splitSynset(strings.TrimSpace(row[name]))
	}
	return list
}
